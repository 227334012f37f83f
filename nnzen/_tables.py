"""Tables as HTML."""

import html
from collections.abc import Iterable, Sequence

__all__ = ["html_table"]


def html_table(
    kind: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "", remarks: Iterable[str] = ()
) -> str:
    """Return a table of the class `kind` with everything escaped, and a paragraph for each remark."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    body = "".join(line(row, "td") for row in rows)
    table = f'<table class="{kind}">{above}<thead>{line(head, "th")}</thead><tbody>{body}</tbody></table>'
    return table + "".join(f"<p>{html.escape(remark)}</p>" for remark in remarks)
