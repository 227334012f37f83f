// The book's own script. The pages are complete without it. It adds a filter to the ledger, and makes boxes
// that scroll sideways reachable by keyboard.

(function () {
  "use strict";

  function labelled(text, control) {
    const label = document.createElement("label");
    label.append(text, control);
    return label;
  }

  // Wide tables and formulas get a box of their own that scrolls, and can be scrolled by keyboard.
  function boxWideContent() {
    for (const table of document.querySelectorAll(".bd-article table:not(.nz-cards)")) {
      if (!table.closest(".nz-scroll, .pst-scrollable-table-container")) {
        const box = document.createElement("div");
        box.className = "nz-scroll";
        table.replaceWith(box);
        box.append(table);
      }
    }
  }

  function reachableByKeyboard() {
    // A formula in a line scrolls only where it is wider than the page (the text for screen readers always is wider).
    for (const formula of document.querySelectorAll(".bd-article span.math")) {
      const drawn = formula.querySelector("mjx-math");
      const wide = drawn !== null && drawn.getBoundingClientRect().width > formula.clientWidth + 1;
      formula.classList.toggle("nz-wide", wide);
      if (wide) formula.tabIndex = 0;
      else formula.removeAttribute("tabindex");
    }
    const boxes = ".nz-scroll, .pst-scrollable-table-container, div.math, mjx-container, .highlight pre, .output pre";
    for (const box of document.querySelectorAll(boxes)) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else if (box.tabIndex === 0) box.removeAttribute("tabindex");
    }
  }

  // The theme's buttons that unfold a section in the sidebar have a sign, but no name.
  function nameToggles() {
    for (const sign of document.querySelectorAll("summary > .toctree-toggle"))
      sign.parentElement.setAttribute("aria-label", "Show or hide the pages of this section");
  }

  // One select for each of these data attributes of the rows.
  const SELECTS = [
    ["chapter", "Chapter"],
    ["evidence", "Evidence"],
    ["verdict", "Verdict on a published claim"],
  ];

  function addFilter(table) {
    const rows = [...table.tBodies[0].rows];
    const words = document.createElement("input");
    words.type = "search";
    const count = document.createElement("output");
    count.setAttribute("aria-live", "polite");
    const selects = SELECTS.map(([key]) => {
      const select = document.createElement("select");
      const values = [...new Set(rows.map((row) => row.dataset[key]).filter(Boolean))].sort();
      select.append(new Option("all", ""), ...values.map((value) => new Option(value, value)));
      select.dataset.key = key;
      return select;
    });

    function apply() {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        const fits =
          wanted.every((word) => text.includes(word)) &&
          selects.every((select) => !select.value || row.dataset[select.dataset.key] === select.value);
        row.hidden = !fits;
        shown += fits ? 1 : 0;
      }
      count.textContent = `${shown} of ${rows.length} claims shown`;
    }

    const form = document.createElement("form");
    form.className = "nz-filter";
    form.setAttribute("aria-label", "Filter the claims");
    form.append(labelled("Words", words));
    selects.forEach((select, i) => form.append(labelled(SELECTS[i][1], select)));
    form.append(count);
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    table.before(form);
    apply();
  }

  document.addEventListener("DOMContentLoaded", () => {
    nameToggles();
    boxWideContent();
    document.querySelectorAll("table.nz-ledger").forEach(addFilter);
    reachableByKeyboard();
    addEventListener("resize", reachableByKeyboard);
    // Formulas get their width when they are typeset.
    if (window.MathJax?.startup?.promise) window.MathJax.startup.promise.then(reachableByKeyboard);
    else addEventListener("load", () => window.MathJax?.startup?.promise?.then(reachableByKeyboard));
  });
})();
