// Small helpers: elements, numbers, data of the page, and the tooltip. Text is only ever set as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) element.append(child);
  return element;
}

function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

// A number with about four digits; whole numbers as they are.
function short(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return String(value);
  if (!isNumber(value)) return typeof value === "object" ? JSON.stringify(value) : String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

function duration(seconds) {
  if (!isNumber(seconds)) return "–";
  if (seconds === 0) return "0";
  if (seconds < 90) return `${seconds.toFixed(1)} s`;
  if (seconds < 5400) return `${(seconds / 60).toFixed(1)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

// Data of the page: embedded in a report, asked of the server in a live page, once.
const LIVE = document.body.dataset.live === "yes";
const TOKEN = new URLSearchParams(location.search).get("token") || "";
let loaded = new Map();

function address(path) {
  return `${path}?token=${encodeURIComponent(TOKEN)}`;
}

function load(name) {
  if (!loaded.has(name)) {
    const embedded = document.getElementById(`data-${name}`);
    loaded.set(name, embedded ? Promise.resolve(JSON.parse(embedded.textContent)) : ask(name));
    loaded.get(name).catch(() => loaded.delete(name));
  }
  return loaded.get(name);
}

async function ask(name) {
  if (!LIVE) return null;
  const answer = await fetch(address(`data/${name}`));
  if (!answer.ok) throw new Error(`the server answered ${answer.status} for ${name}`);
  return answer.json();
}

// One tooltip for all charts; it follows the pointer and stays within the window.
const tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
document.body.append(tip);

function showTip(event, lines) {
  tip.replaceChildren(...lines.map((line) => (line instanceof Node ? line : h("div", {}, line))));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 6))}px`;
  tip.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18}px`;
}

function hideTip() {
  tip.hidden = true;
}

addEventListener("scroll", hideTip, { passive: true });

// Light, dark, or as the system says; kept where the browser allows it.
function initTheme() {
  const button = document.getElementById("theme");
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `theme: ${theme}`;
    dispatchEvent(new Event("themechange"));
  };
  let theme = "auto";
  try {
    theme = localStorage.getItem("mtneuro-theme") || "auto";
  } catch {
    // A sandboxed page has no storage.
  }
  if (!["auto", "light", "dark"].includes(theme)) theme = "auto";
  apply(theme);
  button.addEventListener("click", () => {
    theme = { auto: "light", light: "dark", dark: "auto" }[theme];
    apply(theme);
    try {
      localStorage.setItem("mtneuro-theme", theme);
    } catch {
      // As above.
    }
  });
}

// A labelled choice among texts; `pick` is called with the place of the chosen one, first with the one chosen before
// by the same label, else 0. What it returned last is `shown`.
function choice(label, texts, pick) {
  const id = `choice-${++choice.count}`;
  const select = h("select", { id }, ...texts.map((text, place) => h("option", { value: place }, text)));
  const first = Math.max(0, texts.indexOf(choice.made.get(label)));
  const element = h("p", { class: "choice" }, h("label", { for: id }, label), " ", select);
  select.value = first;
  select.addEventListener("change", () => {
    choice.made.set(label, texts[Number(select.value)]);
    element.shown = pick(Number(select.value));
  });
  element.shown = pick(first);
  return element;
}
choice.count = 0;
choice.made = new Map();

function save(name, type, text) {
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
