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
        { scale: y, label: `truth, and its ${found.unit}`, grid: false, ticks: found.classes.map((name, i) => [i, name]) });
      const points = [];
      found.counts.forEach((row, truth) => {
        svg.append(s("text", { class: "tick", x: box.left - 6, y: y(truth) + 14, "text-anchor": "end" }, totals[truth].toLocaleString("en")));
        row.forEach((count, predicted) => {
          const share = totals[truth] ? count / totals[truth] : 0;
          svg.append(s("rect", { class: "cell blue", x: x(predicted) - x.step / 2 + 1, y: y(truth) - y.step / 2 + 1, width: x.step - 2, height: y.step - 2, "fill-opacity": 0.08 + 0.92 * share }));
          svg.append(s("text", { class: share > 0.5 ? "in-cell on" : "in-cell", x: x(predicted), y: y(truth), "text-anchor": "middle", "dominant-baseline": "central" },
            `${(100 * share).toFixed(1)}${x.step > 52 ? " %" : ""}`));
          points.push({ x: x(predicted), y: y(truth), lines: [`truth ${found.classes[truth]}`, `predicted ${found.classes[predicted]}`, `${count.toLocaleString("en")} ${found.unit}, ${(100 * share).toFixed(2)} % of this truth`] });
        });
      });
      hover(svg, points, Math.max(x.step, y.step));
    },
    rows: () => ({ columns: ["truth", ...found.classes], rows: found.counts.map((row, truth) => [found.classes[truth], ...row]) }),
  });
}
