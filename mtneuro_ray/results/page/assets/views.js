// The sections of the page: each is drawn when it comes near the window, and before the page is printed.

const VIEWS = {
  async runs(box) {
    const data = await load("runs");
    if (data) runsTable(box, data, openRun);
  },
  async searches(box) {
    const names = await load("searches");
    const inner = h("div");
    box.replaceChildren(choice("experiment", names.map(({ title }) => title), (place) => show(place)), inner);
    async function show(place) {
      inner.replaceChildren(h("p", { class: "note" }, "loading …"));
      const data = await load(`search-${place}`);
      const charts = [...data.panels.map(curvesChart), ...(data.grid ? [gridChart(data.grid, data.metric)] : [])];
      inner.replaceChildren(charts.length ? h("div", { class: "charts" }, ...charts) : h("p", { class: "note" }, "No run of this experiment has recorded epochs, and nothing was searched."));
    }
    await show(0);
  },
  async confusions(box) {
    box.replaceChildren(h("div", { class: "charts" }, ...(await load("confusions")).map(confusionChart)));
  },
};

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

function start() {
  initTheme();
  document.querySelectorAll("table.data").forEach(sortable);
  document.querySelectorAll("button.run").forEach((button) => button.addEventListener("click", () => openRun(button.textContent)));
  document.querySelectorAll("dialog .close").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));
  sections.forEach((section) => near.observe(section));
  addEventListener("beforeprint", () => sections.forEach(view));
}

start();
