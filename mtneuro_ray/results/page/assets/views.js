// The sections of the page: each is drawn when it comes near the window, and before the page is printed.

let allRuns = null;

const VIEWS = {
  async runs(box) {
    allRuns = runsTable(box, await load("runs"), openRun);
  },
  async searches(box) {
    const names = await load("searches");
    const inner = h("div");
    const pick = choice("experiment", names.map(({ title }) => title), async (place) => {
      const data = await load(`search-${place}`);
      const charts = [...data.panels.map(curvesChart), ...(data.grid ? [gridChart(data.grid, data.metric)] : []),
        ...(data.parallel ? [parallelChart(data.parallel)] : []), ...(data.importance ? [importanceChart(data.importance)] : [])];
      inner.replaceChildren(charts.length ? h("div", { class: "charts" }, ...charts) : h("p", { class: "note" }, "No run of this experiment has recorded epochs, and nothing was searched."));
    });
    box.replaceChildren(pick, inner);
    await pick.shown;
  },
  async scores(box) {
    const found = await load("scores");
    const inner = h("div");
    const show = (place) => inner.replaceChildren(...scoresParts(found[place]));
    box.replaceChildren(choice("task", found.map(({ title }) => title), show), inner);
  },
  async boxes(box) {
    const { titles, notes } = await load("boxes");
    const inner = h("div");
    const pick = titles.length ? choice("box", titles, async (place) => inner.replaceChildren(...boxViewer(await load(`box-${place}`)))) : null;
    box.replaceChildren(...(pick ? [pick, inner] : []), ...noted(notes));
    if (pick) await pick.shown;
  },
  async clouds(box) {
    const { clouds, notes } = await load("clouds");
    box.replaceChildren(h("div", { class: "charts" }, ...clouds.map(cloudChart)), ...noted(notes));
  },
  async pictures(box) {
    const { pictures, notes } = await load("pictures");
    box.replaceChildren(...pictures.map(({ title, source }) => h("figure", {}, h("figcaption", {}, h("h3", {}, title)), h("img", { alt: title, src: source }))), ...noted(notes.length || pictures.length ? notes : ["The folder has none yet."]));
  },
  async timings(box) {
    const found = await load("timings");
    const hosts = Object.entries(found.host_hours);
    box.replaceChildren(
      h("div", { class: "charts" }, durationsChart(found.durations), ...(found.at_work.length ? [atWorkChart(found)] : [])),
      ...(hosts.length ? [h("p", { class: "note" }, `Hours in which at least one run was at work: ${hosts.map(([host, hours]) => `${host || "a host without a name"} ${short(hours)}`).join(", ")}.${found.cost === null ? "" : ` At ${short(found.price)} for each, they cost ${short(found.cost)}; hours between runs are not in it.`}`)] : []),
    );
  },
  async confusions(box) {
    box.replaceChildren(h("div", { class: "charts" }, ...(await load("confusions")).map(confusionChart)));
  },
};

function noted(notes) {
  return notes.map((note) => h("p", { class: "note" }, note));
}

async function view(section) {
  if (section.dataset.drawn) return;
  section.dataset.drawn = "yes";
  const box = section.querySelector(".view");
  try {
    await VIEWS[section.dataset.view](box);
  } catch (error) {
    box.replaceChildren(h("p", { class: "warning" }, `This part could not be shown: ${error.message}`));
  }
}

const sections = [...document.querySelectorAll("section[data-view]")];
const near = new IntersectionObserver((seen) => seen.forEach((one) => one.isIntersecting && view(one.target)), { rootMargin: "600px" });

// What the server has made: its tables sort, and its ids of runs open them.
function prepare(root) {
  root.querySelectorAll("table.data").forEach(sortable);
  root.querySelectorAll("button.run").forEach((button) => button.addEventListener("click", () => openRun(button.textContent)));
}

// What lies above a section is drawn first; it would move the section away when it appears.
async function goTo(event) {
  event.preventDefault();
  const target = document.querySelector(event.currentTarget.getAttribute("href"));
  history.replaceState(null, "", `#${target.id}`);
  target.scrollIntoView();
  for (const section of sections) {
    await view(section);
    if (section === target) break;
  }
  target.scrollIntoView();
}

// A print is taken before the browser measures what is new, so every chart is drawn at once: with embedded data all of
// this is over before the print.
async function drawAll() {
  await Promise.all(sections.map(view));
  document.querySelectorAll("figure.chart").forEach((figure) => figure.redraw());
}

function start() {
  initTheme();
  prepare(document);
  document.querySelectorAll("dialog .close").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));
  sections.forEach((section) => near.observe(section));
  addEventListener("beforeprint", drawAll);
  document.querySelectorAll("nav a").forEach((link) => link.addEventListener("click", goTo));
  if (LIVE) follow();
}

start();
