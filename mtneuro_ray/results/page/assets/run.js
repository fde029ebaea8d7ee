// All that is known of one run, in a dialog.

async function openRun(runId) {
  const dialog = document.getElementById("run");
  const box = dialog.querySelector(".view");
  dialog.querySelector("h2").textContent = `run ${runId}`;
  box.replaceChildren(h("p", { class: "note" }, "loading …"));
  if (!dialog.open) dialog.showModal();
  const found = await runOf(runId);
  box.replaceChildren(...(found ? runParts(found, runId) : [h("p", {}, "Nothing more is known of this run.")]));
}

// Of a live page the server tells it; a report keeps what runs share once.
async function runOf(runId) {
  if (LIVE) return load(`run/${encodeURIComponent(runId)}`).catch(() => null);
  const { settings, machines, runs } = await load("details");
  if (!Object.hasOwn(runs, runId)) return null;
  const own = runs[runId];
  return { ...own, settings: { ...settings[own.base], ...own.changed }, changed: own.changed, machine: machines[own.machine] };
}

function runParts(found, runId) {
  const parts = [];
  if (found.error) parts.push(h("p", { class: "warning" }, found.error));
  parts.push(pairs("Run", found.about));
  for (const note of found.notes) parts.push(h("p", { class: "note" }, note));
  if (found.metrics) for (const [split, values] of Object.entries(found.metrics)) parts.push(pairs(`Metrics, ${split}`, values));
  parts.push(pairs("Timings", Object.fromEntries(Object.entries(found.timings).map(([name, value]) =>
    [name, name.endsWith("_at") ? new Date(value * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC" : name.endsWith("_s") && !name.endsWith("per_s") ? duration(value) : value]))));
  parts.push(pairs("Machine", found.machine), pairs("Settings", found.settings, found.changed));
  if (found.log) parts.push(h("h3", {}, "End of its log"), h("pre", { tabindex: 0, "aria-label": "log" }, found.log));
  else if (!LIVE) parts.push(h("p", { class: "note" }, `Its log: mtneuro-ray results log ${runId}`));
  return parts;
}

// A table of names and values; those in `marked` differ from the first run of the experiment.
function pairs(title, values, marked = {}) {
  const rows = Object.entries(values).map(([name, value]) => h("tr", { class: Object.hasOwn(marked, name) ? "marked" : null },
    h("th", { scope: "row" }, name), h("td", {}, clipLong(short(value)))));
  if (!rows.length) return null;
  return h("details", { open: rows.length < 16 }, h("summary", {}, title), scroller(title, h("table", { class: "pairs" }, h("tbody", {}, ...rows))));
}

function clipLong(text) {
  return text.length > 4000 ? `${text.slice(0, 4000)} …` : text;
}
