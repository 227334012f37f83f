"""Each rule accepts a good chapter and finds what it is there to find."""

import base64
import copy
import json

import pytest
from nbformat import v4

from nnzen import evidence
from tests.notebooks import rules
from tests.notebooks.book import TAG

CLAIM = evidence.judge("00/half", "A half is one half", measured=0.5, control=1.0, against="no half", band=(0.4, 0.6))
SOLUTION = "<details><summary>Solution</summary>\n\nBecause.\n\n</details>"


def shown(data, **metadata):
    return v4.new_output("display_data", data=data, metadata=metadata)


def figure(alt):
    return shown({"image/png": base64.b64encode(b"0" * 60).decode() + "\n", "text/plain": f"Figure: {alt}"})


def good_chapter():
    """A chapter of the smallest size that keeps all rules."""
    claim = shown(
        {"text/plain": evidence.render_text(CLAIM), "text/html": evidence.render_html(CLAIM)}, nnzen=CLAIM.to_record()
    )
    text, markup = evidence.render_table([CLAIM])
    table = shown({"text/plain": text, "text/html": markup})
    code = [
        v4.new_code_cell("import nnzen as nz", metadata={"tags": ["hide-input"]}),
        v4.new_code_cell("seed = 0", metadata={"tags": ["parameters"]}),
        v4.new_code_cell("nz.show(figure, alt=alt)", outputs=[figure("a line that rises, because it must rise")]),
        v4.new_code_cell("nz.claim(...)", outputs=[claim]),
        v4.new_code_cell("nz.claims_table()", outputs=[table]),
        *(
            v4.new_code_cell("nz.check(...)", metadata={"tags": ["exercise"], TAG: {"exercise": f"00/{name}"}})
            for name in ("a", "b")
        ),
    ]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
    text = [
        "# Title\n\nA promise.\n\n**Time to run:** seconds. **Builds on:** nothing.",
        "> **Predict.** Which?\n> * A one\n> * B two\n\nThen\n\n> **Predict.** And now?",
        "## What to remember\n\nSee [the claim](#claim-00-half), `0.5` and $p = 0.5$.",
        "## Exercises\n\n" + "\n\n".join(f"### Exercise {n}: a task\n\n{SOLUTION}" for n in (1, 2, 3, 4, 5)),
        "## Further reading\n\nNothing.",
    ]
    markdown = [v4.new_markdown_cell(t) for t in text]
    return v4.new_notebook(
        cells=[markdown[0], *code[:3], markdown[1], *code[3:5], markdown[2], *code[5:], *markdown[3:]]
    )


# What each rule must find: the rule, and a change of the good chapter. Cells: 0 title, 1 install, 2 parameters,
# 3 figure, 4 predictions, 5 claim, 6 table, 7 what to remember, 8 and 9 checks, 10 exercises, 11 further reading.
BROKEN = []


def breaks(rule):
    def register(change):
        BROKEN.append(pytest.param(rule, change, id=f"{rule.__name__}-{change.__name__}"))
        return change

    return register


def says(rule, *texts):
    """The rule finds each of these texts, standing in a Markdown cell."""
    for number, text in enumerate(texts):

        def change(chapter, text=text):
            chapter.cells[7].source += f"\n\n{text}"

        BROKEN.append(pytest.param(rule, change, id=f"{rule.__name__}-{number}"))


def allows(rule, *texts):
    return [pytest.param(rule, text, id=f"{rule.__name__}-{number}") for number, text in enumerate(texts)]


@breaks(rules.executed_in_order)
def not_executed(chapter):
    chapter.cells[3].execution_count = None


@breaks(rules.executed_in_order)
def executed_twice(chapter):
    chapter.cells[5].execution_count = 9


@breaks(rules.no_errors)
def stored_exception(chapter):
    chapter.cells[5].outputs = [v4.new_output("error", ename="ClaimError", evalue="left the band", traceback=[])]


@breaks(rules.no_stderr)
def warning(chapter):
    chapter.cells[5].outputs.append(v4.new_output("stream", name="stderr", text="RuntimeWarning"))


@breaks(rules.nothing_switched_off)
def skip_tag(chapter):
    chapter.cells[5].metadata.tags = ["nbval-skip"]


@breaks(rules.nothing_switched_off)
def claim_that_is_not_compared(chapter):
    chapter.cells[5].metadata.tags = ["nbval-ignore-output"]
    chapter.cells[5].source = 'nz.claim("99/x", "X")'


@breaks(rules.nothing_switched_off)
def skip_comment(chapter):
    chapter.cells[5].source = "# NBVAL_SKIP\nnz.claim()"


@breaks(rules.alt_text)
def figure_without_alt(chapter):
    chapter.cells[3].outputs[0].data["text/plain"] = "<Figure size 640x480 with 1 Axes>"


@breaks(rules.alt_text)
def figure_with_short_alt(chapter):
    chapter.cells[3].outputs[0].data["text/plain"] = "Figure: a plot"


@breaks(rules.small_figures)
def large_png(chapter):
    chapter.cells[3].outputs[0].data["image/png"] = base64.b64encode(b"0" * 90_000).decode()


@breaks(rules.nothing_of_the_machine)
def papermill_metadata(chapter):
    chapter.metadata["papermill"] = {"duration": 3}


@breaks(rules.nothing_of_the_machine)
def cell_timing(chapter):
    chapter.cells[3].metadata["execution"] = {"iopub.status.busy": "2025-01-01"}


@breaks(rules.nothing_of_the_machine)
def time_in_output(chapter):
    chapter.cells[3].outputs[0].data["text/html"] = "run at 2025-01-01T10:20:30"


@breaks(rules.nothing_of_the_machine)
def path_in_output(chapter):
    chapter.cells[3].outputs.append(v4.new_output("stream", text="/home/someone/book/chapters"))


@breaks(rules.nothing_of_the_machine)
def address_in_output(chapter):
    chapter.cells[3].outputs[0].data["text/plain"] = "<nnzen.Result at 0x7f1cf0f3d550>"


@breaks(rules.nothing_unfinished)
def something_to_do(chapter):
    chapter.cells[1].source += "\nTODO"


@breaks(rules.nothing_unfinished)
def a_source_to_be_named(chapter):
    chapter.cells[5].source += '\nsource = "SOURCE-half"'


@breaks(rules.nothing_unfinished)
def a_source_in_capitals(chapter):
    chapter.cells[5].source += '\nnz.claim(source="BAND")'


@breaks(rules.claims_as_rendered)
def one_digit_of_a_stored_line(chapter):
    data = chapter.cells[5].outputs[0].data
    data["text/plain"] = data["text/plain"].replace("‹0.5›", "‹0.4›")


@breaks(rules.claims_as_rendered)
def one_digit_of_the_html(chapter):
    data = chapter.cells[5].outputs[0].data
    data["text/html"] = data["text/html"].replace('nz-num">0.5', 'nz-num">0.4')


@breaks(rules.claims_as_rendered)
def one_digit_of_a_record(chapter):
    chapter.cells[5].outputs[0].metadata[TAG]["measured"] = [0.4]


@breaks(rules.claims_as_rendered)
def control_within_the_band(chapter):
    store(chapter, control=(0.5,))


@breaks(rules.claims_as_rendered)
def measurement_out_of_the_band(chapter):
    store(chapter, measured=(0.7,))


@breaks(rules.claims_as_rendered)
def record_without_a_field(chapter):
    del chapter.cells[5].outputs[0].metadata[TAG]["against"]


@breaks(rules.tables_as_rendered)
def one_digit_of_the_table(chapter):
    data = chapter.cells[6].outputs[0].data
    data["text/html"] = data["text/html"].replace('nz-num">0.5', 'nz-num">0.4')


@breaks(rules.tables_as_rendered)
def one_digit_of_the_table_in_text(chapter):
    data = chapter.cells[6].outputs[0].data
    data["text/plain"] = data["text/plain"].replace("‹0.5›", "‹0.4›")


@breaks(rules.published_rows_exist)
def unknown_published_row(chapter):
    store(chapter, published=("Z-99",), verdict="refuted")


@breaks(rules.first_cells)
def no_title(chapter):
    chapter.cells[0].source = "A promise without a title"


@breaks(rules.first_cells)
def no_time(chapter):
    chapter.cells[0].source = "# Title\n\n**Builds on:** nothing."


@breaks(rules.first_cells)
def install_cell_missing(chapter):
    del chapter.cells[1]


@breaks(rules.first_cells)
def no_seed(chapter):
    chapter.cells[2].source = "epochs = 3"


@breaks(rules.anatomy)
def no_prediction(chapter):
    chapter.cells[4].source = "Which?"


@breaks(rules.anatomy)
def no_claims_table(chapter):
    chapter.cells[6].source = "pass"


@breaks(rules.anatomy)
def no_claim(chapter):
    chapter.cells[5].outputs = []


@breaks(rules.exercises_complete)
def four_exercises(chapter):
    chapter.cells[10].source = chapter.cells[10].source.replace("### Exercise 5", "### Another")


@breaks(rules.exercises_complete)
def solution_missing(chapter):
    chapter.cells[10].source = chapter.cells[10].source.replace(SOLUTION, "", 1)


@breaks(rules.exercises_complete)
def one_check(chapter):
    del chapter.cells[9]


says(rules.no_myst, "```{note}\nread\n```", ":::{note}\nread\n:::", "see {ref}`x`", "(label)=\n", "{{ name }}")
says(
    rules.no_typed_measurement,
    "It reaches 91.3 in the end.",
    "It reaches 91 % in the end.",
    "It reaches 91% in the end.",
    "It reaches 91 per cent.",
    "It reaches $91\\%$ in the end.",
    "An error of 3e-7 remains.",
    "| model | accuracy |\n|---|---|\n| cnn | 0.913 |",
    "<details><summary>Solution</summary>It is 0.25 here.</details>",
    "> * A about 0.5",
)
says(
    rules.alt_text,
    "![](../book/_static/logo.png)",
    '<img src="x.png" alt="short">',
)
says(rules.links_resolve, "[next](99_missing.ipynb)", "[up](../../elsewhere.md)", "[claim](#claim-00-missing)")
says(rules.links_resolve, '<a href="missing.md">x</a>')
says(rules.citations_listed, "[Nobody (2015)](https://example.org/never)")
says(rules.first_cells, "# Another title")

ALLOWED = [
    *allows(rules.no_myst, "a set $\\{x\\}$ and `{x}`", "```python\nx = {1}\n```"),
    *allows(
        rules.no_typed_measurement,
        "Set `p = 0.5` and $p=0.5$.",
        "$$\n0.5 + 0.5 = 1\n$$",
        "```python\nx = 0.5\n```",
        "Dropout of 0.5 is used here. <!-- setting -->",
        "A coin is fair at 0.5. <!-- definition: fair -->",
        "[Kingma & Ba (2015)](https://arxiv.org/abs/1412.6980) report 99.1 %.",
        "> **Published claim Z-09.** It reaches 99 % ([article Z, §4.1](../book/published.md)).",
        "### 2.1 A heading",
        "The 95 % interval is wide.",
        "See §4.1 and [section 4.1](https://example.org/4.1), float32, 3 seeds and 1,000 images.",
    ),
    *allows(rules.links_resolve, "[site](https://example.org)", "[readme](../README.md)", "[here](#claim-00-half)"),
    *allows(rules.nothing_of_the_machine, "A ratio and/or a date like 2015."),
    *allows(rules.nothing_unfinished, "CIFAR-10, EMNIST-letters and what is left to do."),
]


def store(chapter, **changed):
    """Replace the chapter's claim by one with other values, consistently."""
    output = chapter.cells[5].outputs[0]
    claim = evidence.Claim(**{**vars(CLAIM), **changed})
    output.metadata[TAG] = claim.to_record()
    output.data = {"text/plain": evidence.render_text(claim), "text/html": evidence.render_html(claim)}


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_a_good_chapter_passes(rule):
    assert rule(good_chapter()) == []


@pytest.mark.parametrize(("rule", "change"), BROKEN)
def test_the_rule_finds(rule, change):
    chapter = good_chapter()
    change(chapter)
    assert rule(chapter) != []


@pytest.mark.parametrize(("rule", "text"), ALLOWED)
def test_the_rule_allows(rule, text):
    chapter = good_chapter()
    chapter.cells[7].source += f"\n\n{text}"
    assert rule(chapter) == []


def test_every_rule_can_fail():
    tried = {case.values[0] for case in BROKEN}
    assert {rule.__name__ for rule in set(rules.RULES) - tried} == set()


def test_rules_leave_the_chapter_alone():
    chapter = good_chapter()
    before = copy.deepcopy(chapter)
    for rule in rules.RULES:
        rule(chapter)
    assert json.dumps(chapter) == json.dumps(before)


def test_a_claim_id_is_unique_and_belongs_to_its_chapter():
    assert rules.claim_ids({"00_first": good_chapter()}) == []
    assert "claimed 2 times" in rules.claim_ids({"00_first": good_chapter(), "00_again": good_chapter()})[0]
    assert "stands in 02_other" in rules.claim_ids({"02_other": good_chapter()})[0]


def test_one_install_cell_for_all():
    other = good_chapter()
    other.cells[1].source += "  # mine"
    assert rules.same_install_cell({"00": good_chapter(), "02": good_chapter()}) == []
    assert rules.same_install_cell({"00": good_chapter(), "02": other}) != []
