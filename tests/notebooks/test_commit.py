"""The commit decides, and it can be named."""

from tests.notebooks.commit import commit, digest, draw


def test_the_commit_can_be_given(monkeypatch):
    monkeypatch.setenv("NNZEN_TEST_SEED", "abc")
    assert commit() == "abc"
    numbers = [draw("00", n) for n in range(20)]
    assert numbers == [draw("00", n) for n in range(20)]
    assert len(set(numbers)) == 20
    assert all(0 <= n < 1_000_000 for n in numbers)
    monkeypatch.setenv("NNZEN_TEST_SEED", "abd")
    assert numbers != [draw("00", n) for n in range(20)]


def test_without_git_there_is_still_a_seed(monkeypatch, tmp_path):
    monkeypatch.delenv("NNZEN_TEST_SEED", raising=False)
    monkeypatch.setattr("tests.notebooks.commit.ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() == "no commit"
    assert len(digest()) == 64
