// A frame with axes for charts: it is drawn again when its width changes, and names its numbers in a table.

let chartCount = 0;

// options: title, note, height, draw({svg, width, height, narrow}), rows() -> {columns, rows} of the same numbers.
function chart(options) {
  const id = `chart-${++chartCount}`;
  const canvas = h("div", { class: "canvas" });
  const figure = h(
    "figure",
    { class: options.wide ? "chart wide" : "chart", role: "group", "aria-labelledby": id },
    h("figcaption", { id }, h("strong", {}, options.title), options.note ? h("span", { class: "note" }, options.note) : null),
    options.legend ? legend(options.legend) : null,
    canvas,
    options.rows ? numbers(options) : null,
  );
  let drawn = 0;
  const draw = () => {
    const width = Math.floor(canvas.clientWidth);
    if (!width || width === drawn) return;
    drawn = width;
    const narrow = width < 460;
    const height = Math.round(typeof options.height === "function" ? options.height(width) : options.height || 280);
    const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${options.title}. The numbers are in the table below.` });
    canvas.replaceChildren(svg);
    options.draw({ svg, width, height, narrow });
  };
  figure.redraw = () => { drawn = 0; draw(); };
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(canvas);
  return figure;
}

function legend(entries) {
  return h("ul", { class: "legend" }, ...entries.map(({ label, color, kind }) => {
    const mark = h("span", { class: `mark ${kind || "line"}` });
    mark.style.setProperty("--mark", color);
    return h("li", {}, mark, label);
  }));
}

// The numbers of a chart, as a table and as CSV, made when they are asked for.
function numbers(options) {
  const details = h("details", { class: "numbers" }, h("summary", {}, "Numbers"));
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const { columns, rows } = options.rows();
    const shown = rows.slice(0, 500);
    details.append(
      h("p", {}, h("button", { type: "button", onclick: () => save("numbers.csv", "text/csv", csv(columns, rows)) }, "save as CSV"),
        rows.length > shown.length ? ` the first ${shown.length} of ${rows.length} rows` : ""),
      scroller(`Numbers: ${options.title}`, h("table", {}, head(columns), h("tbody", {}, ...shown.map((row) => h("tr", {}, ...row.map((cell) => h("td", {}, short(cell)))))))),
    );
  });
  return details;
}

function head(columns) {
  return h("thead", {}, h("tr", {}, ...columns.map((name) => h("th", { scope: "col" }, name))));
}

function scroller(label, child) {
  return h("div", { class: "scroll", role: "region", "aria-label": label, tabindex: 0 }, child);
}

// A spreadsheet takes a cell that begins like a formula for one.
function csv(columns, rows) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    let text = typeof value === "object" ? JSON.stringify(value) : String(value);
    if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

// Axes with grid lines and names. x and y: {scale, label, ticks: [[value, text]]}.
function axes(svg, box, x, y) {
  const { left, right, top, bottom } = box;
  for (const [value, text] of y.ticks || []) {
    const at = y.scale(value);
    if (y.grid !== false) svg.append(s("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }));
    svg.append(s("text", { class: "tick", x: left - 6, y: at, "text-anchor": "end", "dominant-baseline": "central" }, fit(text, left - 6)));
  }
  for (const [value, text] of x.ticks || []) {
    const at = x.scale(value);
    if (x.grid !== false) svg.append(s("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }));
    svg.append(s("text", { class: "tick", x: at, y: bottom + 16, "text-anchor": "middle" }, fit(text, x.scale.step || Infinity)));
  }
  if (x.label) svg.append(s("text", { class: "label", x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" }, x.label));
  if (y.label) svg.append(s("text", { class: "label", x: 4, y: 12 }, y.label));
  svg.append(s("path", { class: "frame", d: `M${left},${top}V${bottom}H${right}` }));
}

// A text of a tick that is no wider than some pixels; a letter is 6.2 pixels wide on average.
function fit(text, width) {
  const most = Math.max(3, Math.floor(width / 6.2));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function told(scale, count) {
  return scale.ticks(count).map((value) => [value, short(value)]);
}

// A few values are told themselves; of many, round numbers.
function ticksOf(values, scale) {
  const distinct = [...new Set(values)];
  return distinct.length <= 7 ? distinct.map((value) => [value, short(value)]) : told(scale, 6);
}

function path(points) {
  return points.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
}

// Tell the nearest of some points, {x, y, lines}, to the pointer.
function hover(svg, points, reach = 40, onpick = null) {
  const ring = s("circle", { class: "ring", r: 5, hidden: true, visibility: "hidden" });
  svg.append(ring);
  const nearest = (event) => {
    const view = svg.getBoundingClientRect();
    const factor = svg.viewBox.baseVal.width / view.width;
    const [px, py] = [(event.clientX - view.left) * factor, (event.clientY - view.top) * factor];
    let best = null, least = reach * reach;
    for (const point of points) {
      const far = (point.x - px) ** 2 + (point.y - py) ** 2;
      if (far < least) [best, least] = [point, far];
    }
    return best;
  };
  svg.addEventListener("pointermove", (event) => {
    const best = nearest(event);
    ring.setAttribute("visibility", best ? "visible" : "hidden");
    if (!best) return hideTip();
    ring.setAttribute("cx", best.x);
    ring.setAttribute("cy", best.y);
    showTip(event, typeof best.lines === "function" ? best.lines() : best.lines);
  });
  svg.addEventListener("pointerleave", () => { ring.setAttribute("visibility", "hidden"); hideTip(); });
  if (onpick) svg.addEventListener("click", (event) => { const best = nearest(event); if (best) onpick(best); });
}
