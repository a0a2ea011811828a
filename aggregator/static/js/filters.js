// The filters above a view: which run, stage, operator and type. What can be chosen is what was recorded.

import { get } from "./api.js";
import { h } from "./dom.js";
import { short } from "./format.js";
import { FILTERS, change, route } from "./route.js";

const TITLES = { run: "Run", stage: "Stage", operator: "Operator", type: "Type" };
const MOST = 500;

// The bar for a view; `view.filters` names those it heeds (default: all).
export async function filterBar(view, signal) {
  const wanted = view.filters ?? FILTERS;
  if (!wanted.length) return [];
  const { params } = route();
  const runs = wanted.includes("run") ? (await get("/v1/runs", {}, signal)).rows : [];
  const operators = wanted.length > 1 ? (await get("/v1/operators", { run: params.run, pool: true }, signal)).rows : [];
  const choices = {
    run: runs.map((run) => [run.id, runTitle(run, runs)]).reverse(),
    ...Object.fromEntries(["stage", "operator", "type"].map((name) => [name, [...new Set(operators.map((row) => row[name]))].sort().map((one) => [one, one])])),
  };
  const chosen = wanted.some((name) => params[name]);
  return [
    ...wanted.map((name) => choice(name, choices[name], params[name])),
    chosen && h("button", { type: "button", class: "quiet", onclick: () => change(Object.fromEntries(FILTERS.map((name) => [name, null]))) }, "Clear"),
  ];
}

function choice(name, choices, chosen) {
  const known = choices.some(([value]) => value === chosen);
  const options = [
    h("option", { value: "" }, name === "run" ? "latest" : "all"),
    ...(chosen && !known ? [h("option", { value: chosen, selected: true }, short(chosen, 40))] : []),
    ...choices.slice(0, MOST).map(([value, title]) => h("option", { value, selected: value === chosen }, short(title, 40))),
  ];
  return h("label", {}, TITLES[name], h("select", { onchange: (event) => change({ [name]: event.target.value || null, cursor: null }) }, options));
}

export function runTitle(run, runs) {
  const name = run.name ?? run.id;
  return runs.filter((other) => (other.name ?? other.id) === name).length > 1 ? `${name} (${run.id})` : name;
}

// The parameters of a question: the filters that are chosen, and the latest run where none is.
export async function asked(params, signal, names = FILTERS) {
  const found = Object.fromEntries(names.filter((name) => params[name]).map((name) => [name, params[name]]));
  if (!found.run && names.includes("run")) {
    const { rows } = await get("/v1/runs", {}, signal);
    if (rows.length > 1) found.run = rows.at(-1).id;
  }
  return found;
}
