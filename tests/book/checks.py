"""What must hold for every rendered page. Each check returns what is wrong, in words; nothing if all is well."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import BrowserContext, Page, Request, Route
from playwright.sync_api import TimeoutError as PlaywrightTimeout

LIMIT = 1_500_000
"""Bytes that a page and its figures may weigh."""


@dataclass
class Visit:
    """A page, and everything that went wrong or left the host since it was opened."""

    page: Page
    problems: list[str] = field(default_factory=list)


def open_page(context: BrowserContext, url: str) -> Visit:
    """Open `url` in a new tab, without a way out of its host, and wait until its formulas are typeset."""
    page = context.new_page()
    visit = Visit(page)
    host = urlsplit(url).netloc

    def stay(route: Route) -> None:
        if urlsplit(route.request.url).netloc == host or route.request.url.startswith("data:"):
            route.continue_()
        else:
            visit.problems.append(f"request leaves the host: {route.request.url}")
            route.abort()

    def failed(request: Request) -> None:
        if urlsplit(request.url).netloc == host:
            visit.problems.append(f"request failed: {request.url}")

    page.route("**/*", stay)
    page.on("websocket", lambda socket: visit.problems.append(f"opens a socket: {socket.url}"))
    page.on("console", lambda m: visit.problems.append(f"console {m.type}: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: visit.problems.append(f"script error: {error}"))
    page.on("requestfailed", failed)
    page.on("response", lambda r: visit.problems.append(f"status {r.status}: {r.url}") if r.status >= 400 else None)
    page.goto(url, wait_until="load")
    page.add_style_tag(content="* { transition: none !important; animation: none !important; }")  # nothing in between
    page.evaluate("window.MathJax?.startup?.promise")
    page.evaluate("document.fonts.ready.then(() => null)")
    page.wait_for_timeout(200)  # for what scripts ask for late
    return visit


def mathematics(page: Page) -> list[str]:
    """Every formula of the source is typeset, without an error, and no TeX is left in the text."""
    return list(
        page.evaluate(
            r"""() => {
              const wrong = [];
              for (const formula of document.querySelectorAll("span.math, div.math"))
                if (!formula.querySelector("mjx-container")) wrong.push("not typeset: " + formula.textContent.trim());
              const faults = "mjx-merror, mjx-container [data-mjx-error], mjx-mtext[style*='red']";
              for (const fault of document.querySelectorAll(faults))
                wrong.push("TeX error: " + fault.outerHTML.slice(0, 200));
              const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
              for (let node = walker.nextNode(); node; node = walker.nextNode())
                if (/\\\(|\\\[|\$\$|\\[A-Za-z]+\{/.test(node.data) &&
                    !node.parentElement.closest("pre, code, script, style, textarea, mjx-container"))
                  wrong.push("raw TeX: " + node.data.trim().slice(0, 200));
              return wrong;
            }"""
        )
    )


def alternative_texts(page: Page) -> list[str]:
    """Every image says in words what it shows."""
    return list(
        page.evaluate(
            """() => [...document.querySelectorAll("img")]
              .filter((image) => !image.alt.trim() && !image.matches("[role=presentation], [aria-hidden=true]"))
              .map((image) => "image without alternative text: " + image.getAttribute("src").slice(0, 200))"""
        )
    )


def phone_width(page: Page) -> list[str]:
    """At 390 px nothing makes the page scroll sideways, and no formula is cut off. Leaves the page at that width."""
    page.set_viewport_size({"width": 390, "height": 844})
    _wait_for_tab_stops(page)
    return list(
        page.evaluate(
            """() => {
              const width = (e) => e.querySelector("mjx-math")?.getBoundingClientRect().width ?? e.scrollWidth;
              const cut = [...document.querySelectorAll("span.math, div.math")].find(
                (e) => width(e) > e.clientWidth + 1 && getComputedStyle(e).overflowX === "hidden"
              );
              if (cut) return ["formula is cut off: " + cut.textContent.trim().slice(0, 80)];
              const room = document.documentElement.clientWidth;
              if (document.documentElement.scrollWidth <= room) return [];
              const boxed = (e) => e && (getComputedStyle(e).overflowX !== "visible" || boxed(e.parentElement));
              const wide = [...document.querySelectorAll("main *")].filter(
                (e) => e.getBoundingClientRect().right > room + 1 && !boxed(e.parentElement.closest("main *"))
              );
              const names = wide.slice(0, 3).map((e) => e.outerHTML.slice(0, 160));
              return [`page is ${document.documentElement.scrollWidth} px wide in ${room}: ${names.join(", ")}`];
            }"""
        )
    )


def _wait_for_tab_stops(page: Page) -> None:
    """Wait until the page's scripts heard of its new width and made what scrolls reachable by keyboard.

    Where that never comes to pass, axe-core has the last word.
    """
    with suppress(PlaywrightTimeout):
        page.wait_for_function(
            """() => [...document.querySelectorAll("pre, .cell_output > .output, .pst-scrollable-table-container")]
              .every((e) => e.tabIndex === 0 || e.scrollWidth <= e.clientWidth)""",
            timeout=5_000,
        )


def accessibility(page: Page, rules: Iterable[str] = (), without: Iterable[str] = ()) -> list[str]:
    """axe-core finds no serious or critical violation (of `rules`, where given; of all but `without`)."""
    page.evaluate(AXE_SCRIPT)
    options: dict[str, object] = {"resultTypes": ["violations"], "preload": False}  # no requests of its own
    if rules:
        options["runOnly"] = list(rules)
    if without:
        options["rules"] = {rule: {"enabled": False} for rule in without}
    found = page.evaluate("(options) => axe.run(document, options)", options)["violations"]
    return [
        f"{fault['id']} ({fault['impact']}): {node['html'][:160]} {' '.join(node['failureSummary'].split())[:240]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"][:3]
    ]


def thin_out(page: Page) -> None:
    """Remove formulas and code that look like others on the page; contrast is slow to compute for thousands."""
    page.evaluate(
        """() => {
          const seen = new Set();
          for (const listing of document.querySelectorAll(".highlight pre")) {
            const ground = listing.closest("div.cell_input, div.output, div.doctest")?.className ?? "";
            for (const token of [...listing.childNodes]) {
              const kind = ground + "|" + (token.className ?? "plain");
              if (seen.has(kind)) token.remove();
              seen.add(kind);
            }
          }
          [...document.querySelectorAll("mjx-container")].slice(3).forEach((formula) => formula.remove());
        }"""
    )


def dark_figures(page: Page) -> list[str]:
    """In the dark theme figures, which are drawn in dark ink, lie on a light ground."""
    return list(
        page.evaluate(
            """() => [...document.querySelectorAll(".cell_output img")]
              .filter((image) => {
                const colour = getComputedStyle(image).backgroundColor.match(/[0-9.]+/g);
                return colour.slice(0, 3).some((part) => part < 230);
              })
              .map((image) => "figure on a dark ground: " + image.alt.slice(0, 80))"""
        )
    )


def use_theme(page: Page, theme: str) -> None:
    """Switch between the ``light`` and the ``dark`` theme, as the page's button does."""
    page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)


def weight(path: Path) -> list[str]:
    """The page's file and its figures stay below the limit."""
    text = path.read_text(encoding="utf-8")
    figures = {path.parent / source for source in re.findall(r'src="([^"]*_images/[^"]+)"', text)}
    total = path.stat().st_size + sum(figure.stat().st_size for figure in figures)
    return (
        [f"{path.name} weighs {total / 1e6:.2f} MB with its figures; at most {LIMIT / 1e6} MB"] if total > LIMIT else []
    )
