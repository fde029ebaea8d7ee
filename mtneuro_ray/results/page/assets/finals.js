// What final runs have reached: confusion matrices.

function confusionChart(found) {
  const totals = found.counts.map((row) => row.reduce((sum, value) => sum + value, 0));
  const size = found.classes.length;
  return chart({
    title: found.lines[0], note: found.lines.slice(1).join(", "),
    height: (width) => Math.min(110 + size * 64, 60 + width * 0.75),
    draw({ svg, width, height }) {
      const box = { left: 96, right: width - 8, top: 24, bottom: height - 44 };
      const x = band(found.classes, [box.left, box.right]), y = band(found.classes, [box.top, box.bottom]);
      axes(svg, box, { scale: x, label: "predicted", grid: false, ticks: found.classes.map((name, i) => [i, name]) },
        { scale: y, label: `truth, and its ${found.unit}`, grid: false, ticks: [] });
      const points = [];
      found.counts.forEach((row, truth) => {
        svg.append(s("text", { class: "tick", x: box.left - 6, y: y(truth) - 3, "text-anchor": "end" }, fit(found.classes[truth], box.left - 6)));
        svg.append(s("text", { class: "tick", x: box.left - 6, y: y(truth) + 11, "text-anchor": "end" }, totals[truth].toLocaleString("en")));
        row.forEach((count, predicted) => {
          const share = totals[truth] ? count / totals[truth] : 0;
          svg.append(s("rect", { class: "cell blue", x: x(predicted) - x.step / 2 + 1, y: y(truth) - y.step / 2 + 1, width: x.step - 2, height: y.step - 2, "fill-opacity": 0.08 + 0.92 * share }));
          svg.append(s("text", { class: share > 0.85 ? "most" : share > 0.62 ? "more" : null, x: x(predicted), y: y(truth), "text-anchor": "middle", "dominant-baseline": "central" },
            `${(100 * share).toFixed(1)}${x.step > 52 ? " %" : ""}`));
          points.push({ x: x(predicted), y: y(truth), lines: [`truth ${found.classes[truth]}`, `predicted ${found.classes[predicted]}`, `${count.toLocaleString("en")} ${found.unit}, ${(100 * share).toFixed(2)} % of this truth`] });
        });
      });
      hover(svg, points, Math.max(x.step, y.step));
    },
    rows: () => ({ columns: ["truth", ...found.classes], rows: found.counts.map((row, truth) => [found.classes[truth], ...row]) }),
  });
}

// A dot per seed, the mean of each method, and a bar of one deviation to both sides.
function seedsChart(panel) {
  const names = panel.methods.map(({ method }) => method);
  return chart({
    title: panel.metric,
    height: 60 + 44 * names.length,
    draw({ svg, width, height }) {
      const box = { left: 12, right: width - 14, top: 8, bottom: height - 40 };
      const all = panel.methods.flatMap(({ values, mean, std }) => [...values.map(([, value]) => value), mean - (std || 0), mean + (std || 0)]);
      const x = linear(extent(all), [box.left, box.right], { pad: 0.06 }), y = band(names, [box.top, box.bottom]);
      axes(svg, box, { scale: x, ticks: told(x, width < 460 ? 4 : 6), label: panel.metric }, { scale: y, ticks: [] });
      const points = [];
      panel.methods.forEach((method, n) => {
        const line = y(n) + 8, color = series(n);
        svg.append(s("text", { class: "tick", x: box.left + 4, y: line - 16 }, method.method));
        if (method.std !== null) svg.append(s("line", { x1: x(method.mean - method.std), x2: x(method.mean + method.std), y1: line, y2: line, stroke: color, "stroke-width": 3, "stroke-opacity": 0.45 }));
        svg.append(s("line", { x1: x(method.mean), x2: x(method.mean), y1: line - 8, y2: line + 8, stroke: color, "stroke-width": 2.5 }));
        method.values.forEach(([seed, value], i) => {
          svg.append(s("circle", { class: "dot", cx: x(value), cy: line, r: 4.5, fill: color }));
          points.push({ x: x(value), y: line, run: method.run_ids[i], lines: [`${panel.metric} ${short(value)}`, `seed ${seed}`, method.method,
            method.std === null ? "one seed" : `mean ${short(method.mean)} ± ${short(method.std)}`] });
        });
      });
      hover(svg, points, 30, (point) => openRun(point.run));
    },
    rows: () => ({ columns: ["method", "seed", panel.metric, "run_id"], rows: panel.methods.flatMap((method) => method.values.map(([seed, value], i) => [method.method, seed, value, method.run_ids[i]])) }),
  });
}

// The mean over seeds of each class (columns), in the whole split and in each region (rows).
function classesChart(panel, classes) {
  return chart({
    title: panel.method, note: panel.metric,
    height: 52 + 34 * panel.rows.length,
    draw({ svg, width, height }) {
      const box = { left: Math.min(width / 3, 20 + 8 * Math.max(...panel.rows.map((name) => name.length))), right: width - 4, top: 4, bottom: height - 26 };
      const x = band(classes, [box.left, box.right]), y = band(panel.rows, [box.top, box.bottom]);
      axes(svg, box, { scale: x, grid: false, ticks: classes.map((name, i) => [i, name]) }, { scale: y, grid: false, ticks: panel.rows.map((name, i) => [i, name]) });
      const points = panel.values.map(([row, column, value]) => {
        svg.append(s("rect", { class: "cell", x: x(column) - x.step / 2 + 1, y: y(row) - y.step / 2 + 1, width: x.step - 2, height: y.step - 2, fill: viridis(value) }));
        svg.append(s("text", { class: "in-cell", x: x(column), y: y(row), "text-anchor": "middle", "dominant-baseline": "central", fill: inkOn(value) }, value.toFixed(x.step < 40 ? 2 : 3)));
        return { x: x(column), y: y(row), lines: [`${panel.metric} ${short(value)}`, `class ${classes[column]}`, `region ${panel.rows[row]}`, panel.method] };
      });
      hover(svg, points, Math.max(x.step, y.step));
    },
    rows: () => ({ columns: ["region", "class", panel.metric], rows: panel.values.map(([row, column, value]) => [panel.rows[row], classes[column], value]) }),
  });
}

// Scores of one task: its seeds, and of one metric its classes by region.
function scoresParts(found) {
  const parts = [h("div", { class: "charts" }, ...found.seeds.map(seedsChart))];
  const metrics = [...new Set(found.by_class.map(({ metric }) => metric))];
  if (metrics.length) {
    const inner = h("div", { class: "charts" });
    const show = (place) => inner.replaceChildren(...found.by_class.filter(({ metric }) => metric === metrics[place]).map((panel) => classesChart(panel, found.classes)));
    const first = Math.max(0, metrics.findIndex((metric) => metric.endsWith("dataset/iou")));
    const order = [metrics[first], ...metrics.filter((_, n) => n !== first)];
    metrics.splice(0, metrics.length, ...order);
    parts.push(h("h3", {}, "By class and region"), choice("metric", metrics, show), inner);
  }
  if (found.notes.length) parts.push(h("ul", { class: "plain note" }, ...found.notes.map((note) => h("li", {}, note))));
  return parts;
}
