// A search over all its axes: parallel coordinates with ranges that can be chosen, and the importance of each axis.

function parallelChart(found) {
  const scores = found.candidates.map(({ score }) => score).filter(isNumber);
  const [low, high] = extent(scores);
  const share = (score) => (high > low ? (score - low) / (high - low) : 0.5);
  const total = found.candidates.length + found.left_out;
  const chosen = new Map();
  let again = () => {};
  const figure = chart({
    title: "Axes of the search", wide: found.axes.length > 3,
    note: `${found.left_out ? `${found.candidates.length} of ${total} candidates, evenly by rank; ` : ""}a click on an axis keeps the candidates near it, a second one all`,
    height: 320,
    draw({ svg, width, height, narrow }) {
      const box = { left: 24, right: width - (narrow ? 56 : 80), top: 34, bottom: height - 14 };
      const step = (box.right - box.left) / Math.max(1, found.axes.length - 1);
      const scales = found.axes.map((axis, n) => scaleOf(axis, found.candidates.map(({ places }) => places[n]), [box.bottom, box.top]));
      const lines = found.candidates.map((candidate) => ({
        candidate, points: candidate.places.map((place, n) => [box.left + n * step, scales[n].at(place)]) }));
      const drawn = lines.map(({ candidate, points }) => s("path", { class: "curve", d: path(points),
        stroke: candidate.score === null ? "var(--muted)" : viridis(share(candidate.score)), "stroke-width": 1.6 }));
      svg.append(...drawn);
      again = () => {
        const kept = (candidate) => [...chosen].every(([n, [from, to]]) => { const y = scales[n].at(candidate.places[n]); return y >= from && y <= to; });
        drawn.forEach((line, n) => line.setAttribute("opacity", kept(lines[n].candidate) ? 0.85 : 0.06));
        marks.forEach((mark, n) => {
          mark.setAttribute("visibility", chosen.has(n) ? "visible" : "hidden");
          if (chosen.has(n)) { mark.setAttribute("y", chosen.get(n)[0]); mark.setAttribute("height", chosen.get(n)[1] - chosen.get(n)[0]); }
        });
      };
      const marks = found.axes.map((axis, n) => {
        const x = box.left + n * step;
        svg.append(s("line", { class: "axis", x1: x, x2: x, y1: box.top, y2: box.bottom }));
        svg.append(s("text", { class: "label", x, y: n % 2 && narrow ? 26 : 14, "text-anchor": n ? "middle" : "start" }, axis.name));
        for (const [value, text] of scales[n].ticks) svg.append(s("text", { class: "tick halo", x: x + 5, y: scales[n].at(value), "dominant-baseline": "central" }, text));
        const mark = s("rect", { class: "range", x: x - 5, width: 10, y: 0, height: 0 });
        const target = s("rect", { class: "target", x: x - 14, width: 28, y: box.top - 6, height: box.bottom - box.top + 12 });
        target.addEventListener("click", (event) => {
          event.stopPropagation();
          if (chosen.has(n)) chosen.delete(n);
          else {
            const view = svg.getBoundingClientRect();
            const y = (event.clientY - view.top) * (height / view.height);
            chosen.set(n, [Math.max(box.top - 4, y - 24), Math.min(box.bottom + 4, y + 24)]);
          }
          again();
        });
        svg.append(mark);
        return { mark, target };
      }).map(({ mark, target }) => { svg.append(target); return mark; });
      again();
      hover(svg, lines.flatMap(({ candidate, points }) => points.map(([x, y]) => ({ x, y, run: candidate.run_id, lines: linesOf(candidate) }))), 18, null);
    },
    rows: () => ({ columns: ["run_id", ...found.axes.map(({ name }) => name), found.metric],
      rows: found.candidates.map((candidate) => [candidate.run_id, ...candidate.places.map((place, n) => valueAt(found.axes[n], place)), candidate.score]) }),
  });
  if (scores.length) figure.querySelector(".canvas").after(colorBar([low, high], found.metric));
  return figure;

  function linesOf(candidate) {
    return [`${found.metric} ${candidate.score === null ? "stopped or without a value" : short(candidate.score)}`,
      ...candidate.places.map((place, n) => `${found.axes[n].name} ${short(valueAt(found.axes[n], place))}`), candidate.run_id];
  }
}

function valueAt(axis, place) {
  return axis.values === null ? place : axis.values[place];
}

function scaleOf(axis, places, range) {
  if (axis.values !== null) {
    const scale = linear([0, Math.max(1, axis.values.length - 1)], range);
    return { at: scale, ticks: axis.values.map((value, place) => [place, short(value)]) };
  }
  const scale = (axis.is_log ? log : linear)(extent(places), range);
  return { at: scale, ticks: ticksOf(places, scale) };
}

function importanceChart(found) {
  const names = Object.keys(found.shares);
  return chart({
    title: "Importance of the hyperparameters", note: `PED-ANOVA, as Optuna computes it, from ${found.num_candidates} candidates`,
    height: 40 + 30 * names.length,
    draw({ svg, width, height }) {
      const left = Math.min(width * 0.45, 20 + 7.2 * Math.max(...names.map((name) => name.length)));
      const x = linear([0, 1], [left, width - 44]), y = band(names, [6, height - 26]);
      names.forEach((name, n) => {
        svg.append(s("text", { class: "tick", x: left - 6, y: y(n), "text-anchor": "end", "dominant-baseline": "central" }, name));
        svg.append(s("rect", { class: "blue", x: left, y: y(n) - 8, width: Math.max(1, x(found.shares[name]) - left), height: 16 }));
        svg.append(s("text", { x: x(found.shares[name]) + 5, y: y(n), "dominant-baseline": "central" }, found.shares[name].toFixed(2)));
      });
    },
    rows: () => ({ columns: ["hyperparameter", "share"], rows: Object.entries(found.shares) }),
  });
}
