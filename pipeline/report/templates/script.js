"use strict";
// Sorting: a heading's button sorts its table by data-value (numbers) or by text; again, the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const numeric = head.classList.contains("number");
    const key = (row) => {
      const cell = row.cells[column];
      if (!numeric) return cell.textContent.trim();
      return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
    };
    head.querySelector("button").addEventListener("click", () => {
      const ascending = head.hasAttribute("aria-sort") ? head.getAttribute("aria-sort") === "descending" : !numeric;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [one, other] = [key(a), key(b)];
        if (!numeric) return (ascending ? 1 : -1) * one.localeCompare(other);
        if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other);
        return ascending ? one - other : other - one;
      });
      table.tBodies[0].append(...rows);
    });
  });
}
// Paper has nothing to click: everything is open in print, and as it was afterwards.
const folded = () => [...document.querySelectorAll("details:not([open])")];
let opened = [];
addEventListener("beforeprint", () => { opened = folded(); for (const one of opened) one.open = true; });
addEventListener("afterprint", () => { for (const one of opened) one.open = false; });
// The table of contents shows where the reader is.
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of links.values()) link.classList.remove("here");
    links.get(entry.target.id)?.classList.add("here");
  }
}, { rootMargin: "-10% 0px -80% 0px" });
for (const id of links.keys()) watcher.observe(document.getElementById(id));
