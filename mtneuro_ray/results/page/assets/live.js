// A live page looks every few seconds whether runs have ended, and shows what has changed.

const EVERY_MS = 5000;
const AGAIN = ["searches", "scores", "confusions", "timings"];

async function text(path) {
  const answer = await fetch(address(path));
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer;
}

// The part of a section that the server makes. It is escaped there, and the policy of the page runs no script in it.
async function replacePart(id) {
  const part = document.querySelector(`#${id} .part`);
  if (!part) return;
  const fresh = new DOMParser().parseFromString(await (await text(`fragment/${id}`)).text(), "text/html");
  part.replaceChildren(...fresh.body.childNodes);
  prepare(part);
}

function bar({ name, done, failed, expected }) {
  const told = `${name} ${done} of ${expected}${failed ? `, ${failed} failed` : ""}`;
  return h("div", { class: "stage" }, h("progress", { max: expected, value: done + failed, "aria-label": told }), told);
}

async function follow() {
  const line = document.getElementById("live");
  let version = null;
  const look = async () => {
    try {
      const state = await (await text("state")).json();
      line.replaceChildren(...state.stages.map(bar), ...state.progress.map((one) => h("div", {}, one)));
      const own = [...document.querySelectorAll("main > section")].map(({ id }) => id);
      if (own.join() !== state.parts.join() && !document.querySelector("dialog[open]")) return location.reload();
      if (version !== null && state.version !== version) await refresh();
      version = state.version;
    } catch (error) {
      line.replaceChildren(h("div", { class: "warning" }, `The server does not answer: ${error.message}. The page shows what it knew last.`));
    }
    setTimeout(look, EVERY_MS);
  };
  await look();
}

async function refresh() {
  const drawn = loaded;
  loaded = new Map([...drawn].filter(([name]) => name.startsWith("box") || name === "clouds" || name === "pictures"));
  await Promise.all(["summary", "tables", "failures"].map(replacePart));
  if (allRuns) allRuns.refresh(await load("runs"));
  for (const section of sections) {
    if (section.dataset.drawn && AGAIN.includes(section.dataset.view)) {
      delete section.dataset.drawn;
      await view(section);
    }
  }
}
