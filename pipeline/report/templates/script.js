"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    head.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[column].textContent.trim();
      const numeric = head.classList.contains("number");
      const number = (text) => parseFloat(text.replace(/,/g, ""));
      const rows = [...body.rows].sort((a, b) => {
        const order = numeric ? (number(value(a)) || -1e9) - (number(value(b)) || -1e9) : value(a).localeCompare(value(b));
        return up ? order : -order;
      });
      body.append(...rows);
    });
  });
}
