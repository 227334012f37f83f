"""nnzen.audit against reports of true confusion matrices, and against a search that shares no code with it."""

import re
import time
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import classification_report

from nnzen import evaluation
from nnzen.audit import ROUNDINGS, VERDICTS, audit
from nnzen.reports import METRICS, parse

HEAD = "class  precision  recall  f1-score  support\n"

# An article's report of a network on CIFAR-10, rows Z-26 to Z-30 of the register of published claims.
PUBLISHED = """
              precision    recall  f1-score   support

       class 0       0.870      0.835     0.841      5000
       class 1       0.819      0.818     0.819      5000
       class 2       0.778      0.776     0.777      5000
       class 3       0.865      0.863     0.864      5000
       class 4       0.857      0.853     0.854      5000
       class 5       0.789      0.793     0.792      5000
       class 6       0.800      0.796     0.797      5000
       class 7       0.845      0.839     0.838      5000
       class 8       0.803      0.803     0.803      5000
       class 9       0.825      0.825     0.824      5000

   micro avg      0.818     0.813     0.813     50000
   macro avg      0.818     0.813     0.813     50000
weighted avg      0.818     0.813     0.813     50000
"""


def table(*rows: str) -> str:
    return HEAD + "\n".join(rows)


def of(found, subject, check="row"):
    """The one finding about a subject."""
    (finding,) = (one for one in found.findings if (one.subject, one.check) == (subject, check))
    return finding


def report_of(matrix, digits=2, zero_division=0, **options):
    """What scikit-learn prints for a confusion matrix."""
    matrix = np.asarray(matrix)
    true, predicted = (np.repeat(index.ravel(), matrix.ravel()) for index in np.indices(matrix.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return classification_report(
            true, predicted, labels=range(len(matrix)), digits=digits, zero_division=zero_division, **options
        )


# --- an oracle that shares no code --------------------------------------------------------------------------


def fits(count, of_all, text):
    """Whether count / of_all can be printed as text, with ties either way; 0/0 can be printed as 0 or as 1."""
    printed, scale = int(text.replace(".", "")), 10 ** len(text.partition(".")[2])
    share = np.abs(2 * scale * count - 2 * printed * of_all) <= of_all
    return np.where(of_all == 0, printed in (0, scale), share)


def exists(row, n, most):
    """Try all numbers of true positives and of predictions up to a bound."""
    precision, recall, f1 = row
    t, m = np.meshgrid(np.arange(n + 1), np.arange(most + 1), indexing="ij")
    good = (t <= m) & fits(t, m, precision) & fits(t, np.full_like(t, n), recall) & fits(2 * t, n + m, f1)
    return bool(good.any())


def row_in_article(k):
    return re.findall(r"class \d +([\d.]+) +([\d.]+) +([\d.]+)", PUBLISHED)[k]


# --- the known case -----------------------------------------------------------------------------------------


def test_article_rounding_intervals_alone():
    without = re.sub(r" +50+$", "", PUBLISHED.replace("   support", ""), flags=re.MULTILINE)
    verdicts = [finding.verdict for finding in audit(without).findings[:10]]
    assert [k for k in range(10) if verdicts[k] == "impossible"] == [0, 5, 7]  # row 9 touches at a tie
    assert {verdicts[k] for k in (1, 2, 3, 4, 6, 8, 9)} == {"undecidable"}


@pytest.mark.parametrize(("support", "left"), [(5000, [1, 2, 3, 8]), (1000, [2, 3, 8])])
def test_article_whole_numbers(support, left):
    found = audit(PUBLISHED, support=support)
    assert [k for k in range(10) if of(found, f"class {k}").verdict == "possible"] == left
    assert all(of(found, f"class {k}").verdict == "impossible" for k in range(10) if k not in left)


@pytest.mark.parametrize(("support", "left"), [(5000, [1, 2, 3, 8]), (1000, [2, 3, 8])])
def test_article_whole_numbers_by_trying_them_all(support, left):
    def possible(row):
        near = round(support * float(row[1]))  # of true positives: other recalls print differently by far
        t = np.arange(near - 10, near + 11)[:, None]
        m = np.arange(3 * support)[None, :]
        n = np.full_like(t, support)
        return ((t <= m) & fits(t, m, row[0]) & fits(t, n, row[1]) & fits(2 * t, n + m, row[2])).any()

    assert [k for k in range(10) if possible(row_in_article(k))] == left


def test_article_averages_and_counts():
    found = audit(PUBLISHED, single_label=True)
    for average in ("macro avg", "weighted avg"):
        for title, mean in (("precision", "0.8251"), ("recall", "0.8201"), ("F1", "0.8209")):
            finding = of(found, average, title)
            assert finding.verdict == "impossible"
            assert f"({mean} as printed)" in finding.why
    counts = of(found, "all rows", "predicted counts")
    assert counts.verdict == "impossible"
    assert "add up to 49,650 to 49,770 (49,710 as printed), not to 50,000" in counts.why
    assert of(found, "all rows", "total support").verdict == "possible"
    assert of(found, "all rows", "equal figures").verdict == "impossible"
    assert of(found, "micro avg").verdict == "impossible"


def test_article_is_not_refuted_by_what_holds_for_single_labels_only():
    found = audit(PUBLISHED)
    for check in ("predicted counts", "equal figures"):
        assert of(found, "all rows", check).verdict == "undecidable"
        assert "single_label=True" in of(found, "all rows", check).why
    assert found.verdict == "impossible"


def test_article_cut_digits_explain_some_rows_only():
    refuted = [finding.subject for finding in audit(PUBLISHED, rounding="any").findings[:10] if "im" in finding.verdict]
    assert refuted == ["class 0", "class 7"]


# --- no false proof -----------------------------------------------------------------------------------------


@st.composite
def matrices(draw):
    k = draw(st.integers(2, 6))
    most = draw(st.sampled_from([1, 5, 60, 1000]))
    matrix = np.array(draw(st.lists(st.integers(0, most), min_size=k * k, max_size=k * k))).reshape(k, k)
    matrix[draw(st.integers(0, k - 1))] *= draw(st.integers(0, 1))  # a class that is not there
    matrix[:, draw(st.integers(0, k - 1))] *= draw(st.integers(0, 1))  # one that is never predicted
    matrix[0, 0] += matrix.sum() == 0
    return matrix


@settings(deadline=None, max_examples=150)
@given(matrices(), st.integers(2, 4), st.sampled_from([0, 1, np.nan]))
def test_what_scikit_learn_prints_is_possible_everywhere(matrix, digits, zero_division):
    printed = report_of(matrix, digits, zero_division)
    found = audit(printed)
    assert not found.report.unread
    assert [finding for finding in found.findings if finding.verdict == "impossible"] == [], printed
    assert all(of(found, row.name).verdict == "possible" for row in found.report.classes)
    if np.all(matrix.sum(0) > 0) and np.all(matrix.sum(1) > 0):
        assert found.verdict == "possible"


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(1, 60), st.integers(2, 5))
def test_several_labels_are_never_refuted(seed, digits, samples, k):
    rng = np.random.default_rng(seed)
    true, predicted = (rng.integers(0, 2, (samples, k)) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = audit(classification_report(true, predicted, digits=digits))
    assert not found.of("impossible")
    assert of(found, "samples avg").verdict == "undecidable"


@settings(deadline=None, max_examples=50)
@given(matrices(), st.integers(2, 4))
def test_a_selection_of_classes_is_never_refuted(matrix, digits):
    k = len(matrix)
    true, predicted = (np.repeat(index.ravel(), matrix.ravel()) for index in np.indices(matrix.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        printed = classification_report(true, predicted, labels=range(k - 1), digits=digits, zero_division=0)
    assert not audit(printed).of("impossible"), printed


@settings(deadline=None, max_examples=50)
@given(matrices())
def test_cut_digits_are_never_refuted_as_such(matrix):
    full = report_of(matrix, digits=17)
    cut = re.sub(r"(\d\.\d{3})\d+", r"\1", full)
    assert not audit(cut, rounding="cut").of("impossible"), cut
    assert not audit(cut, rounding="any").of("impossible"), cut
    assert not audit(full).of("impossible"), full


# --- as exact as trying everything --------------------------------------------------------------------------

figures = st.integers(0, 20).map(lambda x: f"{x / 20:.2f}") | st.integers(0, 10).map(lambda x: f"{x / 10:.1f}")


@settings(deadline=None, max_examples=300)
@given(figures, figures, figures, st.integers(0, 25))
def test_a_row_is_possible_exactly_if_trying_everything_finds_it(precision, recall, f1, n):
    finding = of(audit(table(f"a {precision} {recall} {f1} {n}")), "a")
    # Only figures that print as 0.00 leave more predictions than this, and these at most 0.005 then.
    most = 410 * n + 10 if "0.00" in (precision, f1) else 60 * n + 10
    assert finding.verdict == ("possible" if exists((precision, recall, f1), n, most) else "impossible")
    for t, m in finding.witness:
        pairs = ((t, m, precision), (t, n, recall), (2 * t, n + m, f1))
        assert all(fits(np.array(count), np.array(of_all), text) for count, of_all, text in pairs)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(figures, figures, st.integers(1, 4)), min_size=2, max_size=2))
def test_two_classes_are_possible_exactly_if_a_confusion_matrix_is(rows):
    """Precision and recall of two rows against all confusion matrices with these supports."""
    (p1, r1, n1), (p2, r2, n2) = rows
    found = audit(f"c precision recall support\na {p1} {r1} {n1}\nb {p2} {r2} {n2}", single_label=True)
    t1, t2 = np.meshgrid(np.arange(n1 + 1), np.arange(n2 + 1), indexing="ij")
    m1, m2 = t1 + n2 - t2, t2 + n1 - t1
    good = fits(t1, m1, p1) & fits(t2, m2, p2)
    good &= fits(t1, np.full_like(t1, n1), r1) & fits(t2, np.full_like(t2, n2), r2)
    finding = of(found, "all rows", "predicted counts")
    if good.any():
        assert finding.verdict == "possible"
    elif finding.verdict != "undecidable":  # a row that is impossible in itself leaves nothing to count
        assert finding.verdict == "impossible"
    else:
        assert "impossible" in {of(found, "a").verdict, of(found, "b").verdict}


def test_witnesses_of_all_rows_add_up():
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 30, (6, 6)) + 60 * np.eye(6, dtype=int)
    found = audit(report_of(matrix, 3))
    witness = of(found, "all rows", "predicted counts").witness
    assert sum(m for _, m in witness) == matrix.sum()
    for (t, m), row in zip(witness, found.report.classes, strict=True):
        assert fits(np.array(t), np.array(m), row.precision.text)
        assert fits(np.array(t), np.array(row.support), row.recall.text)


def test_a_changed_digit_is_mostly_caught():
    """How often one changed digit is found out.

    Of 300 reports (2 or 10 classes of 50 to 1,000 samples, 80 % right, 2 to 4 digits) with one digit of one figure
    changed at random, 295 were refuted; of 59 in which it was the last digit of a share, 54.
    """
    rng = np.random.default_rng(0)
    matrix = rng.multinomial(100, np.full((4, 4), 0.05) + 0.8 * np.eye(4))
    lines = report_of(matrix).splitlines()
    assert audit("\n".join(lines)).verdict == "possible"
    caught = 0
    for number in (2, 3, 4, 5, 8, 9):
        line = lines[number]
        place = max(found.start() for found in re.finditer(r"\d(?=  )", line))  # the last digit of F1
        wrong = f"{line[:place]}{(int(line[place]) + 3) % 10}{line[place + 1 :]}"
        caught += audit("\n".join([*lines[:number], wrong, *lines[number + 1 :]])).verdict == "impossible"
    assert caught >= 1


# --- proofs that a reader can check -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "proof"),
    [
        (
            "a 0.870 0.835 0.841 5000",
            "2PR/(P + R) for precision 0.870 and recall 0.835 is 0.8516 to 0.8526, but F1 0.841 is",
        ),
        ("a 0.5 0.33 - 50", "no whole number of 50 samples makes recall 0.33: 16/50 = 0.32000 and 17/50 = 0.34000"),
        ("a 1.2 0.5 0.6 10", "precision 1.2 is no share: it must lie between 0 and 1"),
        ("a 0.5 -0.5 0.6 10", "recall -0.5 is no share"),
        ("a 0.50 0.00 - 4", "leaves no true positives, so that precision, recall and F1 are 0, or 0/0"),
        (
            "a 0.819 0.818 0.819 1000",
            "leaves 818 true positives, and precision 0.819 takes 999 and F1 0.819 takes 997 to 998",
        ),
        ("a 0.99 1.00 - 3", "leaves 3 true positives, and precision 0.99 takes no whole number predictions"),
    ],
)
def test_impossible_rows_say_why(row, proof):
    finding = of(audit(table(row)), "a")
    assert finding.verdict == "impossible"
    assert proof in finding.why


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        ("a 0.00 0.00 0.00 7", "possible"),  # never predicted, or always wrongly
        ("a 1.00 0.00 0.00 7", "possible"),  # never predicted, zero_division=1
        ("a nan 0.00 0.00 7", "possible"),
        ("a 0.00 nan 0.00 0", "possible"),
        ("a nan nan nan 0", "possible"),
        ("a 0.00 0.50 0.00 4", "possible"),  # 2 of 796 predictions, or more
        ("a 0.00 0.50 0.50 4", "impossible"),
        ("a nan 0.50 0.60 4", "impossible"),
        ("a 0.50 nan 0.60 4", "impossible"),
        ("a 0.50 0.50 0.50 -", "undecidable"),
        ("a - 0.50 - 4", "possible"),
        ("a 0.125 0.125 0.125 8", "possible"),
        ("a 0.12 0.13 0.12 8", "possible"),  # 1/8 in all three, with both rules for ties
    ],
)
def test_zero_by_zero_missing_figures_and_ties(row, verdict):
    assert of(audit(table(row)), "a").verdict == verdict


def test_rounding_is_what_is_said():
    row = table("a 0.66 0.66 0.66 3")  # 2/3, cut
    assert [audit(row, rounding=rounding).findings[0].verdict for rounding in ROUNDINGS] == [
        "impossible",
        "possible",
        "possible",
    ]
    assert "digits were dropped" in audit(row, rounding="cut").assumptions


ROWS = ("a 0.90 0.80 0.85 1000", "b 0.60 0.90 0.72 1000")


@pytest.mark.parametrize(
    ("average", "subject", "check", "verdict"),
    [
        ("macro avg 0.75 0.85 0.78 2000", "macro avg", "F1", "possible"),  # the mean of F1, (0.85 + 0.72) / 2
        ("macro avg 0.75 0.85 0.80 2000", "macro avg", "F1", "possible"),  # F1 of the means
        ("macro avg 0.75 0.85 0.83 2000", "macro avg", "F1", "impossible"),
        ("macro avg 0.77 0.85 0.78 2000", "macro avg", "precision", "impossible"),
        ("weighted avg 0.75 0.83 0.78 2000", "weighted avg", "recall", "impossible"),
        ("weighted avg 0.75 0.83 0.78 2000", "weighted avg", "true positives", "impossible"),
        ("accuracy 0.85 2000", "accuracy", "row", "possible"),
        ("accuracy 0.83 2000", "accuracy", "row", "impossible"),
        ("accuracy 0.85 2000", "all rows", "predicted counts", "impossible"),
        ("macro avg 0.75 0.85 0.78 2001", "all rows", "total support", "impossible"),
        ("macro avg 0.75 0.85 0.78 2001", "all rows", "averages and sums", "undecidable"),  # a class may be missing
        ("macro avg 0.75 0.85 0.78 1999", "all rows", "total support", "impossible"),
        ("micro avg 0.71 0.85 0.77 2000", "micro avg", "precision", "possible"),
        ("micro avg 0.78 0.85 0.81 2000", "micro avg", "precision", "impossible"),
        ("micro avg 0.75 0.85 0.85 2000", "micro avg", "row", "impossible"),
        ("samples avg 0.75 0.85 0.78 2000", "samples avg", "row", "undecidable"),
        ("samples avg 0.75 1.85 0.78 2000", "samples avg", "row", "impossible"),
        ("...", "all rows", "averages and sums", "undecidable"),
        ("c 0.5 0.6", "all rows", "predicted counts", "undecidable"),
    ],
)
def test_averages_and_sums(average, subject, check, verdict):
    assert of(audit(table(*ROWS, average)), subject, check).verdict == verdict


def test_accuracy_must_equal_weighted_recall():
    rows = ("a 0.90 0.80 0.85 1000", "accuracy 0.80 1000", "weighted avg 0.90 0.79 0.85 1000")
    finding = of(audit(table(*rows)), "all rows", "equal figures")
    assert finding.verdict == "possible"  # 0.795 prints as both
    finding = of(audit(table(*(row.replace("0.79 ", "0.78 ") for row in rows))), "all rows", "equal figures")
    assert finding.verdict == "impossible"
    assert "accuracy is 0.80" in finding.why or "weighted avg recall is 0.78" in finding.why


def test_two_classes_share_their_errors():
    """Each row is possible, and so are the sums, but what one class misses the other must be predicted for."""
    found = audit(table("a 0.50 0.50 0.50 2", "b 0.75 0.75 0.75 4", "accuracy 0.67 6"))
    assert "the confusion matrix (1, 1) and (1, 3) prints so" in of(found, "all rows", "predicted counts").why
    wrong = audit(table("a 0.50 0.50 0.50 2", "b 1.00 1.00 1.00 2", "accuracy 0.75 4"))
    counts = of(wrong, "all rows", "predicted counts")
    assert wrong.of("impossible") == (counts,)
    assert "at least 1 predictions of a are wrong, but the other classes miss at most 0" in counts.why
    wrong = audit(table("a 0.83 0.80 0.81 90", "b 0.87 0.89 0.88 132", "accuracy 0.86 222"))
    (finding,) = wrong.of("impossible")
    assert "no confusion matrix of 90 and 132 samples prints both rows" in finding.why
    t1, t2 = np.meshgrid(np.arange(91), np.arange(133), indexing="ij")
    m1, m2, n1, n2 = t1 + 132 - t2, t2 + 90 - t1, np.full_like(t1, 90), np.full_like(t2, 132)
    both = fits(t1, m1, "0.83") & fits(t1, n1, "0.80") & fits(2 * t1, n1 + m1, "0.81")
    both &= fits(t2, m2, "0.87") & fits(t2, n2, "0.89") & fits(2 * t2, n2 + m2, "0.88")
    assert not (both & fits(t1 + t2, n1 + n2, "0.86")).any()


def test_what_a_class_is_wrongly_predicted_for_is_missed_by_others():
    rows = ("a 0.50 0.50 0.50 2", "b 1.00 1.00 1.00 2", "c 1.00 1.00 1.00 9")
    (finding,) = audit(table(*rows), single_label=True).of("impossible")
    assert "predictions of a are wrong" in finding.why
    rows = ("a 1.00 0.50 0.67 2", "b 1.00 1.00 1.00 2", "c 1.00 1.00 1.00 9")
    assert of(audit(table(*rows), single_label=True), "all rows", "predicted counts").verdict == "impossible"


# --- arguments ----------------------------------------------------------------------------------------------


def test_support_can_be_given():
    report = parse(table("a 0.90 0.80 0.85 1000", "b 0.60 0.90 0.72 1000"))
    for support in (7, [7, 7], {"b": 7, "a": 7}, np.array([7, 7]).tolist()):
        assert [row.support for row in audit(report, support=support).report.classes] == [7, 7]
    assert "not used" in str(audit(report, support=7))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(rounding="up"), "rounding is 'up'; it must be one of nearest, cut, any"),
        (dict(support=-1), "support is -1; it must be a whole number of samples, at least 0"),
        (dict(support=2.5), "support is 2.5; it must be a whole number"),
        (dict(support="9"), "support is '9'; it must be a whole number"),
        (dict(support=[1, 2, 3]), "support has 3 numbers; the report has 2 classes"),
        (dict(support={"a": 1}), "the report has class 'b', for which support has no number"),
        (dict(support={"a": 1, "b": 1, "c": 1}), "the report has no class 'c'; its classes are a, b"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        audit(table(*ROWS), **options)


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match="single_label is 'yes'; it must be True, False or None"):
        audit(table(*ROWS), single_label="yes")
    with pytest.raises(TypeError, match="table is of the type list; it must be the printed text, or a Report"):
        audit([0.9, 0.8])
    with pytest.raises(ValueError, match="verdict is 'true'"):
        audit(table(*ROWS)).of("true")


# --- display ------------------------------------------------------------------------------------------------


def test_it_prints_and_displays():
    found = audit(table("a<b> 0.90 0.80 0.85 1000", "junk"))
    assert str(found).startswith("undecidable (2 checks: 0 impossible, 1 undecidable, 1 possible)")
    assert repr(found) == str(found)
    assert "line 3 was not understood, it has too few words for a name and 4 figures: 'junk'" in str(found)
    shown = found._repr_html_()
    assert "a&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert shown.count("<tr>") == 1 + len(found.findings)
    assert {finding.verdict for finding in found.findings} <= set(VERDICTS)


def test_evaluation_has_it():
    assert evaluation.audit is audit


# --- speed --------------------------------------------------------------------------------------------------


def test_a_thousand_classes_take_seconds():
    rng = np.random.default_rng(0)
    true = np.repeat(np.arange(1000), 50)
    predicted = np.where(rng.random(50_000) < 0.8, true, rng.integers(0, 1000, 50_000))
    printed = classification_report(true, predicted)
    start = time.process_time()
    found = audit(printed)
    assert time.process_time() - start < 20  # 0.8 s of a slow processor
    assert (found.verdict, len(found.report.classes)) == ("possible", 1000)


@pytest.mark.parametrize(
    "row",
    [
        "a 0.85 0.83 0.84 10,000,000",
        "a 0.853 - - 10000000",
        "a - 0.9 0.84 10000000",
        "a 1 1 1 10000000",
        "a 0 0 0 10000000",
        "a 0.85312345 - - 10000000",
        "a 0.853 0.831 0.842 10000000000000",
    ],
)
def test_ten_million_samples_do_not_hang(row):
    start = time.process_time()
    found = audit(table(row), single_label=True)
    assert time.process_time() - start < 20  # under 2 s of a slow processor
    assert of(found, "a").verdict == "possible"


def test_what_takes_too_long_is_undecidable():
    found = audit(table("a 0.853123451 - 0.1 1000000000000", "b - 0.5 0.5 1000000000000"), single_label=True)
    assert of(found, "all rows", "predicted counts").verdict == "undecidable"


# --- reading ------------------------------------------------------------------------------------------------


def printed_figures(report):
    return [
        (row.kind, *(row.figures[c].value if c in row.figures else None for c in METRICS), row.support)
        for row in report.rows
    ]


SAME = [
    HEAD + "cat  0.870  0.835  0.852  5000\nbig dog  0.90 0.80 0.85  1000\n\n"
    "accuracy  0.83  6000\nmacro avg  0.89 0.82 0.85 6000",
    "\tprecision\trecall\tf1-score\tsupport\ncat\t0.870\t0.835\t0.852\t5000\nbig dog\t0.90\t0.80\t0.85\t1000\n"
    "accuracy\t\t\t0.83\t6000\nmacro avg\t0.89\t0.82\t0.85\t6000",
    "precision\trecall\tf1-score\tsupport\ncat\t0.870\t0.835\t0.852\t5000\nbig dog\t\t0.90\t0.80\t0.85\t1000\n"
    "accuracy\t0.83\t6000\nmacro avg\t0.89\t0.82\t0.85\t6000",
    "| Class | F1 | Prec. | Rec. | n |\n|:--|--:|--:|--:|--:|\n| cat | 85.2% | 87.0 % | 83.5% | 5,000 |\n"
    "| **big dog** | **85%** | 90% | 80% | 1 000 |\n| accuracy | 83% | | | 6,000 |\n"
    "| Macro-Avg. | 85% | 89% | 82% | 6,000 |",
    'class,support,precision,recall,f1_score\ncat,"5,000",0.870,0.835,0.852\n"big dog",1000,0.90,0.80,0.85\n'
    "accuracy,6000,,,0.83\nmacro average,6000,0.89,0.82,0.85",
    ";Precision;Sensitivity;F1-Measure;Samples\ncat;0,870;0,835;0,852;5000\nbig dog;0,90;0,80;0,85;1000\n"
    "Accuracy;;;0,83;6000\nmacro;0,89;0,82;0,85;6000",
    "Results after 3 epochs\n\n```\nlabel precision (%) recall (%) F1 score (%) support\n----------\n"
    "cat 87.0 83.5 85.2 5\u202f000\nbig dog 90 80 85 1'000\naccuracy 83 6000\nmacro avg 89 82 85 6000\n```",
    "name P R F1 N\ncat 87.0 83.5 85.2 5000\nbig dog 90 80 85 1000\nacc. 83 6000\nmacro avg 89 82 85 6000",
]


@pytest.mark.parametrize("text", SAME)
def test_layouts_say_the_same(text):
    report = parse(text)
    assert printed_figures(report) == printed_figures(parse(SAME[0]))
    assert [row.name for row in report.rows][:2] == ["cat", "big dog"]
    assert [str(unread) for unread in report.unread] == [
        f"line {i} was not understood, it stands above the table: {line!r}"
        for i, line in enumerate(text.splitlines()[:1], 1)
        if "epochs" in line
    ]


@settings(deadline=None, max_examples=30)
@given(matrices(), st.integers(1, 6))
def test_digits_are_kept(matrix, digits):
    printed = report_of(matrix, digits)
    for row in parse(printed).rows:
        for figure in row.figures.values():
            assert (figure.value, figure.unit) == (Fraction(figure.text), Fraction(1, 10**digits))
            assert figure.text in printed


def test_data_frames_repeat_the_accuracy():
    text = (
        ",precision,recall,f1-score,support\na,0.9,0.8,0.85,10.0\naccuracy,0.8,0.8,0.8,0.8\nmacro avg,0.9,0.8,0.85,10.0"
    )
    row = parse(text).rows[1]
    assert (row.kind, row.f1.text, row.support) == ("accuracy", "0.8", None)


def test_old_averages_and_kinds():
    rows = [
        f"{name} 0.9 0.8 0.85 10" for name in ("avg / total", "Micro-Average", "weighted", "samples avg", "microscope")
    ]
    assert [row.kind for row in parse(table(*rows)).rows] == ["weighted", "micro", "weighted", "samples", "class"]


def test_figures_above_one_are_per_cent_if_most_are():
    assert parse(table("a 90 80 0.85 10")).rows[0].recall.value == Fraction(4, 5)
    assert "per cent" in str(parse(table("a 90 80 0.85 10")))
    assert parse(table("a 90 0.80 0.85 10")).rows[0].precision.value == 90


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("b 0.9 0.8 0.85", "it has too few words for a name and 4 figures"),
        ("b 0.9 0.8 0.85 0.7 10", "it has more figures than the 4 columns"),
        ("b 0.9 0.8 x 10", "'x' is no figure"),
        ("b 0.9 0.8 0.85 10.5", "the support '10.5' is no whole number"),
        ("b 0.9 0.8 0.85 5.000", "the support '5.000' can be read as 5 or as 5000; write it without a point"),
        ("average 0.9 0.8 0.85 10", "it does not say which average it is"),
        ("b - - - 10", "it holds no precision, recall or F1"),
        ("accuracy 0.9 0.8 10", "it should hold one accuracy"),
        ("b 0.9 0.8 1e-999 10", "'1e-999' is no share"),
        ("b 0.9 0.8 0.85 9999999999999999999", "is no number of samples"),
        ("...", "too few words"),
    ],
)
def test_lines_that_are_not_understood_are_kept(line, why):
    report = parse(table("a 0.90 0.80 0.85 10", line))
    (unread,) = report.unread
    assert (unread.line, unread.text) == (3, line)
    assert why in unread.why
    assert unread.hides
    assert [row.name for row in report.rows] == ["a"]
    assert of(audit(report), "all rows", "averages and sums").verdict == "undecidable"


def test_a_remark_hides_no_class():
    report = parse(table("a 0.89 0.80 0.84 10", "trained for 3 epochs"))
    assert [unread.hides for unread in report.unread] == [False]
    assert of(audit(report), "a").verdict == "possible"


def test_other_columns_are_named():
    report = parse("class,precision,recall,AUC\na,0.9,0.8,0.99")
    assert report.notes == ("column 'AUC' is not audited",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table was found"),
        ("a 0.9 0.8 0.85 10", "no table was found: a line must name at least two columns"),
        (HEAD, "but the line below it is no row"),
        (HEAD + "a 0.9 0.8 0.85 10\n" + HEAD + "b 0.9 0.8 0.85 10", "line 3 begins a second table"),
        ("class precision recall precision\na 1 1 1", "names two columns precision; keep one of them"),
    ],
)
def test_what_is_no_report_is_an_error(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(text)


def test_text_must_be_text():
    with pytest.raises(TypeError, match="text is of the type bytes; it must be a string"):
        parse(b"precision recall")
