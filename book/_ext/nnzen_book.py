"""Sphinx extension of the book: what chapters write in plain Markdown becomes recognizable on the page.

Chapters must read well in JupyterLab, Colab and on GitHub, so they hold no directives. Here, while the
pages are built and without touching a file:

* a blockquote that starts with ``**Predict.**`` or ``**Published claim Z-09.**`` becomes an admonition with
  the class ``nz-predict`` or ``nz-published``;
* a section titled ``Exercise …`` gets the class ``nz-exercise``;
* the text output ``Figure: …`` beside an image becomes the image's alternative text;
* docstrings may refer to `nnzen.claim`, which is documented as `nnzen.evidence.claim`;
* scripts that would only serve thebe (live code from a CDN) are left out;
* while the repository address is a placeholder its buttons lead to "How to run" and say why.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

import nnzen

__all__ = ["PLACEHOLDER", "Callouts", "FigureAlt", "setup"]

PLACEHOLDER = "https://github.com/nnzen/nnzen"
"""The repository address of a book that has not been published yet."""

UNPUBLISHED = "Not published yet: see how to run the book on your own computer"

_CALLOUTS = {
    "nz-predict": re.compile(r"Predict\.?"),
    "nz-published": re.compile(r"Published claims? [ZCDOR]-\d\d.*?\.?"),
}


class Callouts(SphinxTransform):
    """Turn the book's two kinds of blockquote into admonitions, and mark exercises."""

    default_priority = 300

    def apply(self, **kwargs: Any) -> None:
        for quote in list(self.document.findall(nodes.block_quote)):
            admonition = callout(quote)
            if admonition is not None:
                quote.replace_self(admonition)
        for title in self.document.findall(nodes.title):
            if title.astext().startswith("Exercise ") and isinstance(title.parent, nodes.section):
                title.parent["classes"].append("nz-exercise")


def callout(quote: nodes.block_quote) -> nodes.admonition | None:
    """Return the admonition for a blockquote whose first words in bold name its kind, else None."""
    first = quote.children[0] if quote.children else None
    if not isinstance(first, nodes.paragraph):
        return None
    while first.children and first.children[0].astext() == "":
        first.pop(0)  # MyST begins a paragraph with an empty text
    if not first.children or not isinstance(first.children[0], nodes.strong):
        return None
    label = first.children[0].astext().strip()
    for kind, pattern in _CALLOUTS.items():
        if pattern.fullmatch(label):
            first.pop(0)
            if first.children and isinstance(first.children[0], nodes.Text):
                first[0] = nodes.Text(first.children[0].lstrip())
            body = quote.children if first.astext().strip() else quote.children[1:]
            title = nodes.title("", label.rstrip("."))
            return nodes.admonition("", title, *body, classes=[kind])
    return None


class FigureAlt(SphinxTransform):
    """Give every image output the alternative text that stands in its text output."""

    default_priority = 310

    def apply(self, **kwargs: Any) -> None:
        for bundle in self.document.findall(nodes.container):
            if bundle.get("nb_element") != "mime_bundle":
                continue
            text = " ".join(part.astext() for part in bundle.children if part.get("mime_type") == "text/plain")
            found = re.match(r"\s*Figure:\s*(.+)", text, re.DOTALL)
            if found:
                for image in bundle.findall(nodes.image):
                    image["alt"] = " ".join(found[1].split())


def resolve_short_name(app: Sphinx, env: Any, node: Any, contnode: nodes.Element) -> nodes.Element | None:
    """Let docstrings refer to ``nnzen.claim``: find the place where the name is documented."""
    package, _, name = str(node.get("reftarget")).rpartition(".")
    module = nnzen._FUNCTIONS.get(name) if package == "nnzen" and node.get("refdomain") == "py" else None
    if module is None:
        return None
    domain = env.get_domain("py")
    target = f"nnzen.{module}.{name}"
    found: nodes.Element | None = domain.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], target, node, contnode
    )
    return found


def leave_out_thebe(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Drop thebe's scripts and styles from a page: they name a CDN and the book does not use them."""
    for key in ("script_files", "css_files"):
        context[key] = [asset for asset in context.get(key, []) if "thebe" not in _asset_text(asset)]


def _asset_text(asset: Any) -> str:
    return f"{getattr(asset, 'filename', asset)} {getattr(asset, 'attributes', {}).get('body', '')}"


def name_citations(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Make the bibliography's entries items of their list: browsers do not count the older role as one."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def explain_placeholder(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """While the repository's address is the placeholder, let its buttons say so instead of failing."""
    if app.config.html_theme_options.get("repository_url") != PLACEHOLDER:
        return
    target = context["pathto"]("book/index") + "#how-to-run"
    for button in context.get("header_buttons", []):
        for part in button.get("buttons", [button]):
            if str(part.get("url", "")).startswith("http"):
                part.update(url=target, tooltip=UNPUBLISHED)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register everything above."""
    app.add_transform(Callouts)
    app.add_transform(FigureAlt)
    app.connect("missing-reference", resolve_short_name)
    app.connect("html-page-context", leave_out_thebe, priority=900)
    app.connect("html-page-context", name_citations, priority=900)
    app.connect("html-page-context", explain_placeholder, priority=901)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
