// How long runs took, and how many were at work at a time.

function durationsChart(durations) {
  const shown = durations.slice(0, 30);
  return chart({
    title: "Time of each run, by experiment", wide: shown.length > 6, note: durations.length > shown.length ? `the ${shown.length} of ${durations.length} that took longest` : null,
    height: 52 + 46 * shown.length,
    draw({ svg, width, height, narrow }) {
      const box = { left: 18, right: width - 22, top: 6, bottom: height - 40 };
      const all = shown.flatMap(({ seconds }) => seconds);
      const x = linear([0, extent(all)[1]], [box.left, box.right]), y = band(shown, [box.top, box.bottom]);
      axes(svg, box, { scale: x, label: "duration of a run", ticks: x.ticks(narrow ? 3 : 6).map((value) => [value, duration(value)]) }, { scale: y, ticks: [] });
      const points = [];
      shown.forEach((own, n) => {
        const line = y(n) + 8;
        svg.append(s("text", { class: "tick halo", x: box.left + 4, y: line - 14 }, own.title));
        for (const value of own.seconds) {
          svg.append(s("line", { x1: x(value), x2: x(value), y1: line - 7, y2: line + 7, stroke: "var(--series-1)", "stroke-width": 1.5, "stroke-opacity": 0.55 }));
          points.push({ x: x(value), y: line, lines: [duration(value), own.title, `${own.num_runs} runs, ${duration(own.total_s)} together`] });
        }
      });
      hover(svg, points, 24);
    },
    rows: () => ({ columns: ["experiment", "runs", "hours together", "median seconds"], rows: durations.map((own) => [own.title, own.num_runs, own.total_s / 3600, own.median_s]) }),
  });
}

function atWorkChart(found) {
  return chart({
    title: "Runs at work", note: `since ${new Date(found.began_at * 1000).toISOString().replace("T", " ").slice(0, 16)} UTC`, height: 240,
    draw({ svg, width, height }) {
      const box = { left: 40, right: width - 12, top: 20, bottom: height - 40 };
      const unit = found.at_work[found.at_work.length - 1][0] < 1.5 ? [60, "minutes"] : [1, "hours"];
      const x = linear(extent(found.at_work.map(([hours]) => hours * unit[0])), [box.left, box.right]);
      const y = linear([0, extent(found.at_work.map(([, count]) => count))[1]], [box.bottom, box.top], { whole: true });
      axes(svg, box, { scale: x, label: unit[1], ticks: told(x, 6) }, { scale: y, label: "runs", ticks: told(y, 4) });
      const steps = [];
      let count = 0;
      for (const [hours, next] of found.at_work) { steps.push([x(hours * unit[0]), y(count)], [x(hours * unit[0]), y(next)]); count = next; }
      svg.append(s("path", { class: "band", d: `${path(steps)}V${box.bottom}Z`, fill: "var(--series-1)" }));
      svg.append(s("path", { class: "curve", d: path(steps), stroke: "var(--series-1)", "stroke-width": 1.2 }));
      hover(svg, found.at_work.map(([hours, runs]) => ({ x: x(hours * unit[0]), y: y(runs), lines: [`${runs} runs at work`, `after ${short(hours * unit[0])} ${unit[1]}`] })), 40);
    },
    rows: () => ({ columns: ["hours", "runs at work"], rows: found.at_work }),
  });
}
