"use strict";
// A click on a heading sorts its table: numbers the largest first, text by the alphabet, and the other way round after that.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const body = head.closest("table").tBodies[0];
    const place = head.cellIndex;
    const cells = [...body.rows].map((row) => row.cells[place]);
    const isNumber = cells.some((cell) => cell.dataset.value !== undefined);
    const before = head.getAttribute("aria-sort");
    const isAscending = before === null ? !isNumber : before === "descending";
    const value = (row) => Number(row.cells[place].dataset.value ?? NaN);
    const order = (a, b) => {
      if (!isNumber) return a.cells[place].textContent.localeCompare(b.cells[place].textContent);
      // Rows without a number come last, in either order.
      if (Number.isNaN(value(a)) || Number.isNaN(value(b))) {
        return (Number.isNaN(value(a)) - Number.isNaN(value(b))) * (isAscending ? 1 : -1);
      }
      return value(a) - value(b);
    };
    const rows = [...body.rows].sort((a, b) => (isAscending ? order(a, b) : order(b, a)));
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", isAscending ? "ascending" : "descending");
    body.append(...rows);
  });
}
