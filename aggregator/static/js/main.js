// Puts a view into the page, and a new picture of it whenever its address changes or events arrive.

import { Failure, get, keepToken, takeToken } from "./api.js";
import { h, put } from "./dom.js";
import { filterBar } from "./filters.js";
import { followLabel } from "./labelling.js";
import { listen } from "./live.js";
import { message } from "./parts.js";
import { link, route } from "./route.js";
import { setUpTheme } from "./theme.js";
import { compare } from "./views/compare.js";
import { flow } from "./views/flow.js";
import { health } from "./views/health.js";
import { items } from "./views/items.js";
import { members } from "./views/members.js";
import { overview } from "./views/overview.js";
import { runs } from "./views/runs.js";
import { time } from "./views/time.js";
import { trace } from "./views/trace.js";

// Each view is {title, tools(params)?, body(params, signal, draw), live?}; `listed` ones stand in the bar. Until its body is
// complete, a view may draw what it knows.
const VIEWS = { overview, items, flow, members, time, compare, runs, health, trace };
const LISTED = ["overview", "items", "flow", "members", "time", "compare", "runs", "health"];
const REFRESH_MS = 1000;

const main = document.getElementById("main");
const status = document.getElementById("live");
let shown = null; // {view, key, body}: what is on the page
let asking = null;
let due = null;

function nav(view) {
  const links = LISTED.map((name) => h("a", { href: link(name), "aria-current": name === view ? "page" : null }, VIEWS[name].title));
  document.getElementById("views").replaceChildren(...links);
}

// A new address: everything anew. The same again: only the picture, so that nobody loses what they type or scroll to.
async function show() {
  const { view: name, params } = route();
  const view = VIEWS[name] ?? VIEWS.overview;
  const key = location.hash;
  nav(name);
  followLabel();
  asking?.abort();
  asking = new AbortController();
  const signal = asking.signal;
  if (shown?.view !== name) {
    const tools = view.tools?.(params) ?? null;
    const body = h("div", { class: "view loading" });
    put(main, h("h1", { class: LISTED.includes(name) ? "only-read" : null }, view.title), tools, body);
    document.title = `${view.title} · embertrace`;
    shown = { view: name, key, body, tools };
    scrollTo(0, 0);
  }
  const isNew = key !== shown.key || shown.body.classList.contains("loading");
  if (key !== shown.key) renewTools(view, params);
  shown.key = key;
  delete document.documentElement.dataset.ready;
  const draw = (picture) => {
    if (signal.aborted) return;
    put(shown.body, picture);
    shown.body.classList.remove("loading");
  };
  const body = attempt(() => view.body(params, signal, isNew ? draw : () => {}));
  const [picture, bar] = await Promise.all([body, filterBar(view, signal).catch(() => [])]); // why it can't be had, the view says
  if (signal.aborted) return;
  draw(picture);
  put(document.getElementById("filters"), bar);
  document.documentElement.dataset.ready = "true"; // for whoever takes pictures of the page
}

// The address may have changed by going back: the tools say what it says. Whoever types is left alone.
function renewTools(view, params) {
  for (const wanted of view.tools?.(params)?.querySelectorAll("[aria-label]") ?? []) {
    const tool = [...shown.tools.querySelectorAll("[aria-label]")].find((one) => one.ariaLabel === wanted.ariaLabel);
    if (tool !== document.activeElement || !tool.matches("input")) tool.value = wanted.value;
  }
}

async function attempt(make) {
  try {
    return await make();
  } catch (error) {
    if (error.name === "AbortError") return [];
    if (error instanceof Failure && error.code === "token") return tokenForm(error);
    if (error instanceof Failure && error.code === "query") return message(error.message, "warn");
    return message(error instanceof Failure ? error.message : `This page failed: ${error.message}`, "bad");
  }
}

function tokenForm(error) {
  const field = h("input", { type: "password", name: "token", autocomplete: "off", "aria-label": "Token" });
  const send = (event) => {
    event.preventDefault();
    keepToken(field.value);
    start();
  };
  return h("div", { class: "message warn" }, `This aggregator asks for its token (${error.message}).`, h("form", { onsubmit: send }, field, h("button", {}, "Use it")));
}

function refreshSoon() {
  const view = VIEWS[route().view] ?? VIEWS.overview;
  if (due !== null || view.live === false || document.hidden) return;
  due = setTimeout(() => {
    due = null;
    show();
  }, REFRESH_MS);
}

const STATES = { on: "live", off: "not reachable, trying again", token: "token wanted" };

function state(name) {
  status.className = `live ${name}`;
  status.textContent = STATES[name];
}

async function start() {
  await show();
  const info = await get("/v1/info").catch(() => null);
  document.getElementById("recording").textContent = info ? info.name : "";
  listen({ onNews: refreshSoon, onState: state });
}

takeToken();
setUpTheme(document.getElementById("theme"));
addEventListener("hashchange", show);
addEventListener("labelled", show);
addEventListener("visibilitychange", refreshSoon);
addEventListener("resize", refreshSoon);
start();
