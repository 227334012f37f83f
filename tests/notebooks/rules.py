"""What every chapter must keep to. A rule is a pure function: notebook in, list of violations out.

`RULES` look at one chapter, `BOOK_RULES` at all of them (a dict of name and notebook). Each violation names
the cell (counted from 0, as nbval does for code cells and people do for all) and the text that is wrong.
"""

import json
import re
import socket
from collections import defaultdict

from nnzen import evidence, ledger
from tests.notebooks.book import ROOT, TAG

MAX_PNG = 80_000  # bytes
MIN_ALT = 30  # characters


def cells(notebook, kind):
    """Pairs of position and cell of one type (`"code"` or `"markdown"`)."""
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == kind]


def outputs(notebook):
    """Pairs of position and output of all code cells."""
    return [(i, output) for i, cell in cells(notebook, "code") for output in cell.outputs]


def tags(cell):
    return cell.metadata.get("tags", [])


def _text(value):
    return value if isinstance(value, str) else "".join(value)


# --- the notebook ran, from top to bottom -------------------------------------------------------------------


def executed_in_order(notebook):
    """Every code cell carries the execution count of a run from top to bottom in a fresh kernel."""
    counts = [cell.execution_count for _, cell in cells(notebook, "code")]
    wrong = [n for n, count in enumerate(counts, 1) if count != n]
    return [f"execution counts {counts}: run the chapter from the top and store it"] if wrong else []


def no_errors(notebook):
    """No stored output is an exception."""
    return [f"cell {i}: {out.ename}: {out.evalue}" for i, out in outputs(notebook) if out.output_type == "error"]


def no_stderr(notebook):
    """No stored output came from stderr."""
    return [
        f"cell {i}: stderr: {_text(out.text)[:80]!r}"
        for i, out in outputs(notebook)
        if out.output_type == "stream" and out.name == "stderr"
    ]


def nothing_switched_off(notebook):
    """No cell is kept from the checks; one whose outputs are not compared (a training log) makes no claim."""
    forbidden = {"nbval-skip", "nbval-raises-exception", "raises-exception", "skip-execution", "injected-parameters"}
    found = [f"cell {i}: tag {tag}" for i, cell in cells(notebook, "code") for tag in tags(cell) if tag in forbidden]
    found += [
        f"cell {i}: tag nbval-ignore-output beside a claim"
        for i, cell in cells(notebook, "code")
        if "nbval-ignore-output" in tags(cell) and "claim(" in cell.source
    ]
    return found + [
        f"cell {i}: comment {marker}"
        for i, cell in cells(notebook, "code")
        for marker in re.findall(r"(?:NBVAL|PYTEST_VALIDATE)_\w+", cell.source)
    ]


# --- text ---------------------------------------------------------------------------------------------------

MYST = {
    "directive": r"^\s*(?:`{3,}|~{3,}|:{3,})\s*\{[^}\n]*\}",
    "role": r"\{[A-Za-z][\w:+.-]*\}`[^`\n]+`",
    "target": r"^\([\w-]+\)=\s*$",
    "substitution": r"\{\{\s*\w+\s*\}\}",
}


def no_myst(notebook):
    """Plain Markdown only: a chapter is also read in JupyterLab, in Colab and on GitHub."""
    return [
        f"cell {i}: MyST {what}: {match.group().strip()!r}"
        for i, cell in cells(notebook, "markdown")
        for what, pattern in MYST.items()
        for match in re.finditer(pattern, cell.source, re.MULTILINE)
    ]


LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\(\s*<?((?:[^()\s<>]|\([^()\s]*\))+)>?(?:\s+\"[^\"]*\")?\s*\)")
FENCE = re.compile(r"^[ >]*(`{3,}|~{3,}).*?(?:^[ >]*\1|\Z)", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--\s*(?:setting|definition)\b.*?-->", re.DOTALL)
PUBLISHED = re.compile(r"\*\*Published claims?\b.*\]\([^)]*published\.", re.DOTALL)
NAMED = re.compile(r"\d+\s?%[- ](?:(?:confidence|prediction|credible)[- ])*(?:intervals?|level|confidence|power)")
NUMBER = re.compile(
    r"(?<![\w.§^_/-])(?<!§ )(?:\d+(?:\.\d+)?\s*(?:%|per ?cent\b)|\d+\.\d+|\d+(?:\.\d+)?e[-+]?\d+)(?![\w]|\.\d)"
)
NOT_PROSE = [
    re.compile(r"`+[^`]+`+"),
    re.compile(r"\$(?![^$]*\\%)[^$]+\$"),  # mathematics, unless it hides a percentage
    LINK,
    re.compile(r"^[ >]*#+ .*$", re.MULTILINE),
    re.compile(r"<[^>]*>"),
    NAMED,
]


def prose(markdown):
    """Markdown without code blocks (whose first column may look like a heading or a link)."""
    return FENCE.sub("", markdown)


def cites(paragraph):
    """Citations in a paragraph, as (text, address): links whose text names a year in parentheses."""
    return [(text, url) for text, url in LINK.findall(paragraph) if re.search(r"\((?:1[6-9]|20)\d\d[a-z]?\)", text)]


def no_typed_measurement(notebook):
    """No decimal and no percentage in prose: a measured number is computed, never typed.

    Exempt: mathematics, code, links, headings, names such as "95 % interval"; a paragraph that cites a source, that
    restates a published claim, or that says with a comment that its numbers are a setting or a definition.
    """
    found = []
    for i, cell in cells(notebook, "markdown"):
        text = re.sub(r"\$\$.*?\$\$", "", prose(cell.source), flags=re.DOTALL)
        for paragraph in re.split(r"\n\s*\n", text):
            if cites(paragraph) or COMMENT.search(paragraph) or PUBLISHED.search(paragraph):
                continue
            for pattern in NOT_PROSE:
                paragraph = pattern.sub("", paragraph)
            numbers = NUMBER.findall(paragraph.replace("\\%", "%"))
            found += [f"cell {i}: number typed in prose: {number!r}" for number in numbers]
    return found


# --- figures ------------------------------------------------------------------------------------------------


def alt_text(notebook):
    """Every image says what it shows: `Figure: ...` beside an image output, alt text in Markdown."""
    found = []
    for i, output in outputs(notebook):
        data = output.get("data", {})
        if any(kind.startswith("image/") for kind in data):
            text = _text(data.get("text/plain", ""))
            if not text.startswith("Figure: ") or len(text) < len("Figure: ") + MIN_ALT:
                found.append(
                    f"cell {i}: figure without alt text ({text[:60]!r}): show it with nz.show(figure, alt=...)"
                )
    for i, cell in cells(notebook, "markdown"):
        for alt in re.findall(r"!\[([^\]]*)\]\(", prose(cell.source)):
            if len(alt) < MIN_ALT:
                found.append(f"cell {i}: image with alt text {alt!r}: at least {MIN_ALT} characters")
        for image in re.findall(r"<img\b[^>]*>", prose(cell.source)):
            if len("".join(re.findall(r"\balt=\"([^\"]*)\"", image))) < MIN_ALT:
                found.append(f"cell {i}: image without alt text: {image}")
    return found


def small_figures(notebook):
    """A stored PNG is at most 80 kB."""
    return [
        f"cell {i}: PNG of {size / 1000:.0f} kB, at most {MAX_PNG / 1000:.0f}"
        for i, output in outputs(notebook)
        if (size := len(_text(output.get("data", {}).get("image/png", "")).replace("\n", "")) * 3 / 4) > MAX_PNG
    ]


# --- nothing of the machine that ran it ---------------------------------------------------------------------

MACHINE = {
    "path": r"(?<![\w.])/(?:home|root|Users|tmp|private|var|opt|usr|mnt|content|work)/[\w.-]+|\b[A-Z]:\\+Users\\+\w+",
    "kernel": r"ipykernel_\d+",
    "address": r"\bat 0x[0-9a-f]{6,}",
    "time": r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d",
}
NOTEBOOK_METADATA = {"kernelspec", "language_info", TAG}
CELL_METADATA = {"tags", TAG, "mystnb"}


def nothing_of_the_machine(notebook):
    """No path, host name, time or tool's metadata in any part of the notebook (images aside)."""
    found = [f"notebook metadata {key!r}" for key in set(notebook.metadata) - NOTEBOOK_METADATA]
    for i, cell in enumerate(notebook.cells):
        found += [f"cell {i}: metadata {key!r}" for key in set(cell.metadata) - CELL_METADATA]
    host = socket.gethostname()
    patterns = {**MACHINE, "host": rf"\b{re.escape(host)}\b"} if len(host) > 3 else MACHINE
    text = json.dumps(_without_images(notebook), ensure_ascii=False)
    return found + [f"{what}: {m.group()!r}" for what, p in patterns.items() for m in re.finditer(p, text)]


PLACEHOLDER = re.compile(r"\b(?:TODO|FIXME|XXX|SOURCE-\w+|source=\"[A-Z]+\")")


def nothing_unfinished(notebook):
    """No word that a writer left to be replaced, such as TODO, SOURCE-of-this or BAND for a source, in a cell."""
    return [
        f"cell {i}: {match.group()!r}"
        for i, cell in enumerate(notebook.cells)
        for match in PLACEHOLDER.finditer(cell.source)
    ]


def _without_images(value):
    if isinstance(value, dict):
        return {k: _without_images(v) for k, v in value.items() if not k.startswith("image/")}
    return [_without_images(v) for v in value] if isinstance(value, list) else value


# --- links and citations ------------------------------------------------------------------------------------


def links(notebook):
    """Triples of cell position, text and address of all links in Markdown."""
    found = []
    for i, cell in cells(notebook, "markdown"):
        text = re.sub(r"`[^`\n]+`", "", prose(cell.source))
        found += [(i, *link) for link in LINK.findall(text)]
        found += [(i, "", url) for url in re.findall(r"\b(?:href|src)=\"([^\"]+)\"", text)]
    return found


def links_resolve(notebook):
    """A relative link leads to a file of the repository, an anchor of a claim to a claim of this chapter."""
    claims = {f"claim-{record['id'].replace('/', '-')}" for record in evidence.records_in(notebook)}
    found = []
    for i, _, url in links(notebook):
        address, _, anchor = url.partition("#")
        if re.match(r"[a-z]+:", url):
            continue
        target = (ROOT / "chapters" / address).resolve()
        if address and not (target.is_relative_to(ROOT) and target.is_file()):
            found.append(f"cell {i}: link to {url!r}: no such file")
        if not address and anchor.startswith("claim-") and anchor not in claims:
            found.append(f"cell {i}: link to {url!r}: no such claim in this chapter")
    return found


def citations_listed(notebook):
    """Every cited address (or its DOI) stands in the bibliography."""
    bibliography = ROOT / "book" / "references.bib"
    listed = bibliography.read_text(encoding="utf-8") if bibliography.exists() else ""
    return [
        f"cell {i}: {text!r} is not in book/references.bib: {url}"
        for i, cell in cells(notebook, "markdown")
        for text, url in cites(prose(cell.source))
        if re.match(r"https?:", url) and not _listed(url, listed)
    ]


def _listed(url, bibliography):
    address = re.sub(r"^https?://(?:dx\.)?(?:doi\.org/)?", "", url).rstrip("/")
    return re.search(rf"[/{{\s]{re.escape(address)}/?[}}\s\",#?]", bibliography, re.IGNORECASE) is not None


# --- claims -------------------------------------------------------------------------------------------------


def stored_claims(notebook):
    """Pairs of position and output of the claims."""
    return [(i, output) for i, output in outputs(notebook) if TAG in output.get("metadata", {})]


def claims_as_rendered(notebook):
    """A stored claim holds, and its line is exactly what its record says."""
    found = []
    for i, output in stored_claims(notebook):
        try:
            claim = evidence.Claim.from_record(output.metadata[TAG])
        except ValueError as error:
            found.append(f"cell {i}: {error}")
            continue
        if not claim.within(claim.mean) or claim.within(claim.control_mean):
            found.append(f"cell {i}: {claim.id}: stored measurement or control contradicts the band")
        for kind, expected in [("text/plain", evidence.render_text(claim)), ("text/html", evidence.render_html(claim))]:
            if _text(output.data.get(kind, "")) != expected:
                found.append(f"cell {i}: {claim.id}: stored {kind} differs from its record: {expected!r}")
    return found


def tables_as_rendered(notebook):
    """A stored table of claims says the same as the claims above it."""
    found, claims = [], {}
    for i, output in outputs(notebook):
        shown = tuple(_text(output.get("data", {}).get(kind, "")) for kind in ("text/plain", "text/html"))
        if TAG in output.get("metadata", {}):
            claims[output.metadata[TAG]["id"]] = evidence.Claim.from_record(output.metadata[TAG])
        elif 'class="nz-claims"' in shown[1] and shown != evidence.render_table(claims.values()):
            found.append(f"cell {i}: the stored table of claims differs from the claims above it")
    return found


def published_rows_exist(notebook):
    """A claim decides only about rows that the register of published claims has."""
    rows = {row.id for row in ledger.register()[1]}
    return [
        f"{record['id']}: published row {row!r} is not in nnzen/data/published.json"
        for record in evidence.records_in(notebook)
        for row in record.get("published", [])
        if row not in rows
    ]


# --- form ---------------------------------------------------------------------------------------------------


def first_cells(notebook):
    """Title with promise, install cell, parameters: a reader finds the same door in every chapter."""
    found = []
    title, install, parameters = [*notebook.cells, *[None] * 3][:3]
    if not title or title.cell_type != "markdown" or not re.match(r"# \S", title.source):
        found.append("cell 0: must be Markdown that begins with the title, `# ...`")
    else:
        for part in ("**Time to run:**", "**Builds on:**"):
            if part not in title.source:
                found.append(f"cell 0: lacks {part}")
    if not install or install.cell_type != "code" or "import nnzen as nz" not in install.source:
        found.append("cell 1: must be the install cell with `import nnzen as nz`")
    elif "hide-input" not in tags(install):
        found.append("cell 1: the install cell lacks the tag hide-input")
    if (
        not parameters
        or "parameters" not in tags(parameters)
        or not re.search(r"^seed = \d+$", parameters.source, re.M)
    ):
        found.append("cell 2: must be tagged `parameters` and say `seed = 0`")
    titles = [i for i, cell in cells(notebook, "markdown") if re.search(r"^# ", prose(cell.source), re.MULTILINE)]
    return found + [f"cell {i}: a second title" for i in titles if i != 0]


def anatomy(notebook):
    """Predictions, a table of the claims, what to remember, further reading (the book's style guide)."""
    markdown = "\n\n".join(prose(cell.source) for _, cell in cells(notebook, "markdown"))
    code = "\n".join(cell.source for _, cell in cells(notebook, "code"))
    found = []
    if (n := len(re.findall(r"^> \*\*Predict\.\*\*", markdown, re.MULTILINE))) < 2:
        found.append(f"{n} predictions (`> **Predict.** ...`), at least 2")
    for heading in ("What to remember", "Exercises", "Further reading"):
        if not re.search(rf"^## .*{heading}", markdown, re.MULTILINE):
            found.append(f"no heading `## {heading}`")
    if "nz.claims_table()" not in code:
        found.append("no cell shows nz.claims_table()")
    if not stored_claims(notebook):
        found.append("no claim")
    return found


def exercises_complete(notebook):
    """At least five exercises, numbered, at least two of them checked, each with a solution that can be unfolded."""
    text = "\n\n".join(
        cell.source
        if cell.cell_type == "markdown"
        else f"<!-- code {cell.metadata.get(TAG, {}).get('exercise', '')} -->"
        for cell in notebook.cells
    )
    parts = re.split(r"^#{2,4} (?=Exercise \d)", text, flags=re.MULTILINE)[1:]
    numbers = [int(re.match(r"Exercise (\d+)", part).group(1)) for part in parts]
    checked = [
        cell.metadata[TAG]["exercise"]
        for _, cell in cells(notebook, "code")
        if "exercise" in cell.metadata.get(TAG, {})
    ]
    found = []
    if len(parts) < 5 or numbers != list(range(1, len(parts) + 1)):
        found.append(f"exercises {numbers}: at least five, numbered from 1")
    if len(set(checked)) < 2 or len(set(checked)) < len(checked):
        found.append(f"checked exercises {checked}: at least two, each once")
    for number, part in zip(numbers, parts, strict=True):
        part = re.split(r"^## ", part, flags=re.MULTILINE)[0]
        if not re.search(r"<details>\s*<summary>Solution.*?</summary>.*\S.*</details>", part, re.DOTALL):
            found.append(f"exercise {number}: no solution in <details>")
    for i, cell in cells(notebook, "code"):
        if "exercise" in cell.metadata.get(TAG, {}) and "exercise" not in tags(cell):
            found.append(f"cell {i}: a checked exercise lacks the tag `exercise`")
    return found


RULES = [
    executed_in_order,
    no_errors,
    no_stderr,
    nothing_switched_off,
    no_myst,
    no_typed_measurement,
    alt_text,
    small_figures,
    nothing_of_the_machine,
    nothing_unfinished,
    links_resolve,
    citations_listed,
    claims_as_rendered,
    tables_as_rendered,
    published_rows_exist,
    first_cells,
    anatomy,
    exercises_complete,
]


# --- all chapters together ----------------------------------------------------------------------------------


def claim_ids(chapters):
    """A claim's id begins with its chapter's number and is unique in the book."""
    places = defaultdict(list)
    for name, notebook in chapters.items():
        for record in evidence.records_in(notebook):
            places[record["id"]].append(name)
    found = [
        f"{id} is claimed {len(where)} times: {', '.join(where)}" for id, where in places.items() if len(where) > 1
    ]
    return found + [f"{id} stands in {n}" for id, where in places.items() for n in where if id[:3] != f"{n[:2]}/"]


def same_install_cell(chapters):
    """The install cell is the same, letter by letter, in all chapters."""
    sources = {name: notebook.cells[1].source for name, notebook in chapters.items()}
    first = next(iter(sources), None)
    return [
        f"{name}: the install cell differs from that of {first}" for name in sources if sources[name] != sources[first]
    ]


BOOK_RULES = [claim_ids, same_install_cell]
