// Slices of predictions with their image and truth, and embeddings as a cloud of points with their tiles.

function boxViewer(found) {
  const state = { slice: Math.floor(found.z.length / 2), overlay: 0, opacity: 0.6 };
  const overlay = () => found.overlays[state.overlay];
  const panels = {};
  for (const name of ["image", "truth", "prediction", "disagreement"]) {
    const below = h("img", { alt: "", width: found.width, height: found.height });
    const above = h("img", { alt: "", width: found.width, height: found.height, class: "above" });
    const caption = h("figcaption", {});
    panels[name] = { below, above, caption, figure: h("figure", { class: "slice" }, h("div", { class: "stack" }, below, above), caption) };
  }
  const place = h("output", {});
  const key = h("ul", { class: "legend" });
  const slider = h("input", { type: "range", id: "slice", min: 0, max: found.z.length - 1, step: 1, value: state.slice });
  const fade = h("input", { type: "range", id: "opacity", min: 0, max: 1, step: 0.05, value: state.opacity });

  function show() {
    const own = overlay(), n = state.slice;
    const score = own.scores[n];
    const layers = { image: null, truth: found.truths[own.task][n], prediction: own.predicted[n], disagreement: own.disagreement ? own.disagreement[n] : null };
    const texts = { image: "image", truth: "truth", prediction: `prediction${isNumber(score) ? `, mean IoU ${score.toFixed(3)}` : ""}`,
      disagreement: own.disagreement ? `disagreement of ${own.seeds} seeds` : "disagreement: one seed has predicted" };
    for (const [name, panel] of Object.entries(panels)) {
      panel.below.src = found.images[n];
      panel.above.hidden = !layers[name];
      if (layers[name]) panel.above.src = layers[name];
      panel.above.style.opacity = name === "disagreement" ? 1 : state.opacity;
      panel.below.alt = `${texts[name]}, slice z ${found.z[n]}`;
      panel.caption.textContent = texts[name];
      panel.figure.classList.toggle("empty", name === "disagreement" && !own.disagreement);
    }
    place.textContent = `z ${found.z[n]}`;
    slider.setAttribute("aria-valuetext", `z ${found.z[n]}`);
    key.replaceChildren(...legend(own.classes.map(({ name, color }) => ({ label: name, color, kind: "box" }))).children);
  }

  slider.addEventListener("input", () => { state.slice = Number(slider.value); show(); });
  fade.addEventListener("input", () => { state.opacity = Number(fade.value); show(); });
  return [
    choice("prediction", found.overlays.map(({ label }) => label), (n) => { state.overlay = n; show(); }),
    h("div", { class: "sliders" }, h("label", { for: "slice" }, "slice ", slider, " ", place), h("label", { for: "opacity" }, "opacity ", fade)),
    key,
    h("div", { class: "slices" }, ...Object.values(panels).map(({ figure }) => figure)),
    h("p", { class: "note" }, `${found.width} × ${found.height} pixels, ${found.side} wide.${found.left_out ? ` ${found.z.length} of ${found.z.length + found.left_out} slices, evenly.` : ""}`),
  ];
}

function cloudChart(found) {
  const names = ["region", "split", ...Object.keys(found.attributes)];
  const state = { by: 0 };
  const canvas = h("canvas", { role: "img", "aria-label": `${found.title}: ${found.points.length} embeddings in a plane` });
  const key = h("div", {});
  const frame = h("div", { class: "canvas" }, canvas);
  const [xs, ys] = [extent(found.points.map(([x]) => x)), extent(found.points.map(([, y]) => y))];
  let places = [];

  // Colors of the points by what is chosen: names have the colors of a series, numbers those of viridis.
  function paint() {
    const name = names[state.by];
    if (name === "region" || name === "split") {
      const own = name === "region" ? found.regions : found.splits;
      const style = getComputedStyle(document.documentElement);
      const colors = own.map((_, n) => style.getPropertyValue(`--series-${(n % SERIES) + 1}`).trim());
      key.replaceChildren(legend(own.map((label, n) => ({ label, color: series(n), kind: "box" }))));
      return found[name].map((n) => colors[n]);
    }
    const values = found.attributes[name];
    const sorted = values.filter(isNumber).sort((a, b) => a - b);
    const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
    const [low, high] = [at(0.01), at(0.99)];
    key.replaceChildren(colorBar([low, high], name));
    return values.map((value) => (isNumber(value) ? viridis(high > low ? (value - low) / (high - low) : 0.5) : "gray"));
  }

  function draw() {
    const width = frame.clientWidth;
    if (!width) return;
    const height = Math.min(520, Math.round(width * 0.7)), sharp = devicePixelRatio || 1;
    [canvas.width, canvas.height] = [width * sharp, height * sharp];
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(sharp, sharp);
    const x = linear(xs, [10, width - 10]), y = linear(ys, [height - 10, 10]);
    const colors = paint(), size = Math.max(1.6, Math.min(4, 120 / Math.sqrt(found.points.length)));
    pen.globalAlpha = 0.8;
    places = found.points.map(([px, py], n) => {
      const at = [x(px), y(py)];
      pen.fillStyle = colors[n];
      pen.beginPath();
      pen.arc(at[0], at[1], size, 0, 7);
      pen.fill();
      return at;
    });
  }

  function lines(n) {
    const [z, y, x] = found.origins[n];
    const texts = [`${found.regions[found.region[n]]}, ${found.splits[found.split[n]]}`, `from z ${z}, y ${y}, x ${x}`,
      ...Object.entries(found.attributes).map(([name, values]) => `${name} ${short(values[n])}`)];
    if (!found.sheet) return texts;
    const tile = h("div", { class: "tile-image" });
    const scale = 96 / found.side;
    tile.style.backgroundImage = `url("${found.sheet}")`;
    tile.style.backgroundSize = `${found.row * 96}px auto`;
    tile.style.backgroundPosition = `-${(n % found.row) * found.side * scale}px -${Math.floor(n / found.row) * found.side * scale}px`;
    return [tile, ...texts];
  }

  canvas.addEventListener("pointermove", (event) => {
    const view = canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - view.left, event.clientY - view.top];
    let best = -1, least = 20 ** 2;
    places.forEach(([x, y], n) => { const far = (x - px) ** 2 + (y - py) ** 2; if (far < least) [best, least] = [n, far]; });
    if (best < 0) hideTip();
    else showTip(event, lines(best));
  });
  canvas.addEventListener("pointerleave", hideTip);
  addEventListener("themechange", draw);
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(frame);
  const options = { title: found.title, rows: () => ({ columns: ["x", "y", "region", "split", "z0", "y0", "x0", ...Object.keys(found.attributes)],
    rows: found.points.map(([x, y], n) => [x, y, found.regions[found.region[n]], found.splits[found.split[n]], ...found.origins[n], ...Object.values(found.attributes).map((values) => values[n])]) }) };
  const figure = h("figure", { class: "chart wide" }, h("figcaption", {}, h("strong", {}, found.title),
    h("span", { class: "note" }, `UMAP of the embeddings of corners${found.left_out ? `; ${found.points.length} of ${found.points.length + found.left_out}, evenly` : ""}`)),
    choice("color by", names, (n) => { state.by = n; draw(); }), key, frame, numbers(options));
  figure.redraw = draw;
  return figure;
}
