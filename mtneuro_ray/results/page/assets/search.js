// Learning curves of a search, and the heat map of its candidates.

function curvesChart(panel) {
  const lines = [
    ...panel.candidates.map((line) => ({ ...line, kind: "candidate", color: "var(--muted)", width: 1 })),
    ...panel.stopped.map((line) => ({ ...line, kind: "stopped", color: "var(--muted)", width: 1, dash: "2 3" })),
    ...panel.methods.flatMap((method, place) => method.lines.map((line) => ({
      ...line, label: [method.label, line.label].filter(Boolean).join(", "), kind: "final", color: series(place), width: 1.2 }))),
  ];
  const bands = panel.methods.map((method, place) => ({ ...method, color: series(place) })).filter((method) => method.mean.length);
  const entries = [
    ...(panel.candidates.length ? [{ label: panel.left_out ? `${panel.candidates.length + panel.stopped.length} of ${panel.candidates.length + panel.stopped.length + panel.left_out} candidates, evenly by rank` : "candidates", color: "var(--muted)" }] : []),
    ...(panel.stopped.length ? [{ label: "stopped candidates", color: "var(--muted)", kind: "dash" }] : []),
    ...panel.methods.map((method, place) => ({ label: `${method.label || "final runs"}${method.mean.length ? `: mean of ${method.lines.length} seeds, band of ± one deviation` : ""}`, color: series(place), kind: "thick" })),
  ];
  const values = lines.flatMap(({ curve }) => curve.map(([, value]) => value)).filter(isNumber);
  const spread = bands.flatMap(({ mean, std }) => mean.flatMap(([, value], i) => [value - std[i], value + std[i]]));
  return chart({
    title: panel.metric, legend: entries, height: 300,
    draw({ svg, width, height, narrow }) {
      const box = { left: 52, right: width - 10, top: 22, bottom: height - 42 };
      const y = panel.is_log
        ? log(extent(values.filter((value) => value > 0)), [box.bottom, box.top], { pad: 0.03 })
        : linear(extent([...values, ...spread]), [box.bottom, box.top], { pad: 0.03 });
      const x = linear(extent(lines.flatMap(({ curve }) => curve.map(([epoch]) => epoch))), [box.left + 6, box.right - 6], { whole: true });
      axes(svg, box, { scale: x, label: "epoch", ticks: told(x, narrow ? 5 : 8) }, { scale: y, label: panel.metric, ticks: told(y, 5) });
      const floor = panel.is_log ? extent(values.filter((value) => value > 0))[0] : -Infinity;
      const place = ([epoch, value]) => [x(epoch), y(Math.max(value, floor))];
      const seen = (curve) => curve.filter(([, value]) => isNumber(value) && (!panel.is_log || value > 0));
      const points = [];
      for (const line of lines) {
        const curve = seen(line.curve);
        svg.append(s("path", { class: "curve", d: path(curve.map(place)), stroke: line.color, "stroke-width": line.width, "stroke-dasharray": line.dash }));
        if (curve.length === 1) svg.append(s("circle", { cx: place(curve[0])[0], cy: place(curve[0])[1], r: 2.5, fill: line.color }));
        for (const point of curve) {
          const [px, py] = place(point);
          points.push({ x: px, y: py, run: line.run_id, lines: [`${panel.metric} ${short(point[1])}`, `epoch ${point[0]}`, `${line.kind}${line.label ? `: ${line.label}` : ""}`, line.run_id] });
        }
      }
      for (const { mean, std, color } of bands) {
        const edge = (sign) => mean.map(([epoch, value], i) => place([epoch, value + sign * std[i]]));
        svg.append(s("path", { class: "band", d: `${path([...edge(1), ...edge(-1).reverse()])}Z`, fill: color }));
        svg.append(s("path", { class: "curve", d: path(mean.map(place)), stroke: color, "stroke-width": 3 }));
      }
      hover(svg, points, 30, (point) => openRun(point.run));
    },
    rows: () => ({ columns: ["run_id", "kind", "label", "epoch", panel.metric],
      rows: lines.flatMap((line) => line.curve.map(([epoch, value]) => [line.run_id, line.kind, line.label, epoch, value])) }),
  });
}

// A color bar: low and high of the values under a strip of viridis.
function colorBar([low, high], label) {
  const strip = h("span", { class: "strip" });
  strip.style.background = `linear-gradient(to right, ${Array.from({ length: 9 }, (_, i) => viridis(i / 8)).join(",")})`;
  return h("p", { class: "colorbar" }, `${label} `, h("span", {}, short(low)), strip, h("span", {}, short(high)));
}

function gridChart(grid, metric) {
  const known = grid.values.map(([, , value]) => value).filter(isNumber);
  const [low, high] = extent(known);
  const share = (value) => (high > low ? (value - low) / (high - low) : 0.5);
  const over = grid.others.length ? `best over ${grid.others.join(", ")}` : null;
  const alone = grid.keys.length === 1;
  const rowKey = alone ? "" : grid.keys[0], columnKey = grid.keys[grid.keys.length - 1];
  const lines = (row, column, value) => [
    `${metric} ${value === null ? "stopped or without a value" : short(value)}`,
    ...(alone ? [] : [`${rowKey} ${short(grid.rows[row])}`]), `${columnKey} ${short(grid.columns[column])}`];
  const figure = chart({
    title: `Candidates: ${metric}`, note: over,
    height: (width) => (grid.is_filled ? Math.min(380, 80 + 46 * grid.rows.length) : Math.min(360, width * 0.75)),
    draw: ({ svg, width, height }) => (grid.is_filled ? map(svg, width, height) : dots(svg, width, height)),
    rows: () => ({ columns: [...grid.keys, metric], rows: grid.values.map(([row, column, value]) => [...(alone ? [] : [grid.rows[row]]), grid.columns[column], value]) }),
  });
  if (known.length && !(alone && !grid.is_filled)) figure.querySelector(".canvas").after(colorBar([low, high], metric));
  return figure;

  function map(svg, width, height) {
    const longest = Math.max(...grid.rows.map((value) => short(value).length));
    const box = { left: alone ? 16 : Math.min(130, 26 + 7 * longest), right: width - 8, top: 24, bottom: height - 44 };
    const x = band(grid.columns, [box.left, box.right]), y = band(grid.rows, [box.top, box.bottom]);
    axes(svg, box, { scale: x, label: columnKey, grid: false, ticks: grid.columns.map((value, i) => [i, short(value)]) },
      { scale: y, label: rowKey, grid: false, ticks: alone ? [] : grid.rows.map((value, i) => [i, short(value)]) });
    const points = [];
    for (const [row, column, value] of grid.values) {
      svg.append(s("rect", { class: "cell", x: x(column) - x.step / 2 + 1, y: y(row) - y.step / 2 + 1, width: x.step - 2, height: y.step - 2,
        fill: value === null ? "var(--none)" : viridis(share(value)) }));
      svg.append(s("text", { class: "in-cell", x: x(column), y: y(row), "text-anchor": "middle", "dominant-baseline": "central",
        fill: value === null ? "var(--text)" : inkOn(share(value)) }, value === null ? "stopped" : x.step < 44 ? value.toFixed(2) : value.toFixed(3)));
      points.push({ x: x(column), y: y(row), lines: lines(row, column, value) });
    }
    hover(svg, points, Math.max(x.step, y.step));
  }

  function dots(svg, width, height) {
    const box = { left: 62, right: width - 12, top: 24, bottom: height - 44 };
    const horizontal = axisOf(grid.columns, [box.left + 8, box.right - 8]);
    const vertical = alone ? valueAxis() : axisOf(grid.rows, [box.bottom - 8, box.top + 8]);
    function valueAxis() {
      const scale = linear([low, high], [box.bottom, box.top], { pad: 0.04 });
      return { at: (value) => scale(value), scale, ticks: told(scale, 5) };
    }
    axes(svg, box, { scale: horizontal.scale, label: columnKey, ticks: horizontal.ticks }, { scale: vertical.scale, label: alone ? metric : rowKey, ticks: vertical.ticks });
    const points = [];
    for (const [row, column, value] of [...grid.values].sort((a, b) => compare(a[2], b[2], 1))) {
      if (alone && value === null) continue;
      const [px, py] = [horizontal.at(column), vertical.at(alone ? value : row)];
      svg.append(value === null ? s("path", { class: "cross", d: `M${px - 4},${py - 4}l8,8m0,-8l-8,8` })
        : s("circle", { class: "dot", cx: px, cy: py, r: 4.5, fill: alone ? "var(--series-1)" : viridis(share(value)) }));
      points.push({ x: px, y: py, lines: lines(row, column, value) });
    }
    hover(svg, points, 24);
  }
}

// An axis over sorted values: numbers at their place, logarithmic if they lie far apart; else one place for each.
function axisOf(values, range) {
  if (values.every(isNumber) && values.length > 1) {
    const scale = (isWide(values) ? log : linear)(extent(values), range);
    return { at: (place) => scale(values[place]), scale, ticks: ticksOf(values, scale) };
  }
  const scale = band(values, range);
  return { at: scale, scale, ticks: values.map((value, place) => [place, short(value)]) };
}
