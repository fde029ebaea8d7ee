// Tables of the page: sorted by a click on a heading; and the table of all runs, which is filtered and paged.

const PAGE_ROWS = 25;
const words = new Intl.Collator(undefined, { numeric: true });

// Numbers before texts, empty cells last in both directions.
function compare(a, b, sign) {
  const [noA, noB] = [a === null || a === undefined || a === "", b === null || b === undefined || b === ""];
  if (noA || noB) return Number(noA) - Number(noB);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? -1 : 1;
  return sign * words.compare(String(a), String(b));
}

function sortable(table) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const body = table.tBodies[0];
  const value = (row, place) => {
    const cell = row.cells[place];
    return cell.dataset.v === undefined ? cell.textContent.trim().replace(/^[-–]$/, "") : Number(cell.dataset.v);
  };
  heads.forEach((cell, place) => {
    const button = sortButton(cell, cell.textContent, () => {
      const sign = mark(heads, cell);
      const rows = [...body.rows];
      rows.sort((one, other) => compare(value(one, place), value(other, place), sign));
      body.append(...rows);
    });
    cell.replaceChildren(button);
  });
}

function sortButton(cell, text, sort) {
  return h("button", { type: "button", class: "sort", onclick: sort }, text || " ");
}

// Turn the order of a column; returns 1 for rising and -1 for falling.
function mark(heads, cell) {
  const falling = cell.getAttribute("aria-sort") === "ascending";
  for (const other of heads) other.removeAttribute("aria-sort");
  cell.setAttribute("aria-sort", falling ? "descending" : "ascending");
  return falling ? -1 : 1;
}

// The table of all runs. data: {columns: [{name, kind}], rows}; kind is "number", "text" or "choice".
function runsTable(box, data, open) {
  const places = Object.fromEntries(data.columns.map(({ name }, place) => [name, place]));
  const state = { order: null, sign: 1, page: 0, words: "", chosen: {} };
  const search = h("input", { type: "search", id: "run-filter", placeholder: "words, or lr<0.01, score>=0.5", autocomplete: "off" });
  const filters = data.columns.flatMap(({ name, kind }, place) => (kind === "choice" ? [choiceOf(name, place)] : []));
  const count = h("span", { class: "note", role: "status" });
  const body = h("tbody");
  const heads = data.columns.map(({ name }, place) => {
    const cell = h("th", { scope: "col" });
    cell.append(sortButton(cell, name, () => { state.sign = mark(heads, cell); state.order = place; state.page = 0; show(); }));
    return cell;
  });
  const pager = h("p", { class: "pager" });

  function choiceOf(name, place) {
    const values = [...new Set(data.rows.map((row) => row[place]))].filter((value) => value !== null).sort((a, b) => compare(a, b, 1));
    if (values.length < 2 || values.length > 200) return null;
    const id = `filter-${name}`;
    const select = h("select", { id }, h("option", { value: "" }, "all"), ...values.map((value) => h("option", { value }, String(value))));
    select.addEventListener("change", () => { state.chosen[place] = select.value; state.page = 0; show(); });
    return h("label", { for: id }, `${name} `, select);
  }

  function found() {
    const tests = termsOf(state.words, data.columns, places);
    const chosen = Object.entries(state.chosen).filter(([, value]) => value !== "");
    let rows = data.rows;
    if (tests.length || chosen.length) {
      rows = rows.filter((row) => chosen.every(([place, value]) => String(row[place]) === value) && tests.every((test) => test(row)));
    }
    return state.order === null ? rows : [...rows].sort((a, b) => compare(a[state.order], b[state.order], state.sign));
  }

  function show() {
    const rows = found();
    const pages = Math.max(1, Math.ceil(rows.length / PAGE_ROWS));
    state.page = Math.min(state.page, pages - 1);
    const first = state.page * PAGE_ROWS;
    count.textContent = `${rows.length} of ${data.rows.length} runs`;
    body.replaceChildren(...rows.slice(first, first + PAGE_ROWS).map(line));
    const turn = (text, page, off) => h("button", { type: "button", disabled: off, onclick: () => { state.page = page; show(); } }, text);
    pager.replaceChildren(
      turn("first", 0, state.page === 0), turn("back", state.page - 1, state.page === 0),
      ` page ${state.page + 1} of ${pages} `,
      turn("next", state.page + 1, state.page >= pages - 1), turn("last", pages - 1, state.page >= pages - 1),
      h("button", { type: "button", class: "apart", onclick: () => save("runs.csv", "text/csv", csv(data.columns.map(({ name }) => name), found())) }, "save as CSV"),
    );
  }

  function line(row) {
    return h("tr", { class: `is-${row[places.status]}` }, ...row.map((value, place) => {
      if (place === places.run_id) return h("td", {}, h("button", { type: "button", class: "link", onclick: () => open(value) }, value));
      return h("td", { class: data.columns[place].kind === "number" ? "number" : null }, value === null ? "" : clip(short(value)));
    }));
  }

  search.addEventListener("input", () => { state.words = search.value; state.page = 0; show(); });
  const table = h("table", {}, h("thead", {}, h("tr", {}, ...heads)), body);
  box.replaceChildren(
    h("div", { class: "filters" }, h("label", { for: "run-filter" }, "filter ", search), ...filters, count),
    scroller("All runs", table), pager,
  );
  show();
  return { refresh(fresh) { data = fresh; show(); } };
}

function clip(text) {
  return text.length > 90 ? `${text.slice(0, 88)}…` : text;
}

// Words that a row has to hold, and comparisons such as lr<0.01; a comparison of an unknown column is a word.
function termsOf(text, columns, places) {
  const alias = { lr: "learning_rate", batch: "batch_size" };
  return text.toLowerCase().split(/[\s,]+/).filter(Boolean).map((term) => {
    const parts = /^([^<>=]+)(<=|>=|<|>|=)(.+)$/.exec(term);
    const names = Object.keys(places);
    const name = parts && names.find((known) => known.toLowerCase() === (alias[parts[1]] || parts[1]));
    if (!name) return (row) => row.some((value) => value !== null && String(value).toLowerCase().includes(term));
    const [place, wanted] = [places[name], Number(parts[3])];
    if (Number.isNaN(wanted)) return (row) => String(row[place]).toLowerCase() === parts[3];
    return { "<": (row) => isNumber(row[place]) && row[place] < wanted, ">": (row) => isNumber(row[place]) && row[place] > wanted,
      "<=": (row) => isNumber(row[place]) && row[place] <= wanted, ">=": (row) => isNumber(row[place]) && row[place] >= wanted,
      "=": (row) => row[place] === wanted }[parts[2]];
  });
}
