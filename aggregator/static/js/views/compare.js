// Two runs of the same items beside each other, paired by item.

import { get } from "../api.js";
import { h } from "../dom.js";
import { runTitle } from "../filters.js";
import { number, percent, short, signed } from "../format.js";
import { card, correctMark, grid, message, tile } from "../parts.js";
import { asText, change, link } from "../route.js";

const MOST = 500;

export const compare = {
  title: "Compare",
  filters: [],
  async body(params, signal) {
    const { rows } = await get("/v1/runs", {}, signal);
    if (rows.length < 2) return message("There is one run here; a comparison takes two.");
    const before = params.before ?? rows.at(-2).id;
    const after = params.after ?? rows.at(-1).id;
    const on = params.on ?? "judge";
    const choose = (name, value) => h("select", { onchange: (event) => change({ [name]: event.target.value }) }, rows.map((run) => h("option", { value: run.id, selected: run.id === value }, runTitle(run, rows))));
    const by = h("select", { onchange: (event) => change({ on: event.target.value }) }, ["judge", "majority"].map((one) => h("option", { value: one, selected: one === on }, one)));
    const tools = h("div", { class: "tools" }, h("label", {}, "Before", choose("before", before)), h("label", {}, "After", choose("after", after)), h("label", {}, "By", by));
    const found = await get("/v1/compare", { before, after, on }, signal);
    return [tools, ...picture(found, { before, after })];
  },
};

function picture(found, runs) {
  if (!found.n) return [message("The two runs have no item with a known answer in common.", "warn")];
  const [low, high] = found.interval;
  const p = found.p_value === null ? "–" : found.p_value < 0.0001 ? "< 0.0001" : found.p_value.toFixed(4);
  const columns = [
    { name: "item", title: "Item", cell: (row) => short(row.item, 60) },
    { name: "before", title: "Before", cell: (row) => correctMark(row.before) },
    { name: "after", title: "After", cell: (row) => correctMark(row.after) },
    { name: "calls", title: "Calls", cell: (row) => ["before", "after"].map((side) => [h("a", { href: link("trace", { item: asText(row.item), run: runs[side] }) }, side), " "]) },
  ];
  const flips = found.flips ?? [];
  return [
    h(
      "div",
      { class: "tiles" },
      tile("Before", percent(found.before)),
      tile("After", percent(found.after)),
      tile("Difference", signed(found.difference), low === null ? null : `${signed(low)} … ${signed(high)}`),
      tile("p", p, found.test),
      tile("Items in both", number(found.n), `${number(found.only_before)} got worse, ${number(found.only_after)} better`),
    ),
    ...(found.notes ?? []).map((note) => message(note, "warn")),
    card("Items that changed", `${number(flips.length)} of ${number(found.n)}.`, grid(columns, flips.slice(0, MOST), { caption: "Items that changed" })),
    Object.keys(found.config ?? {}).length ? card("Settings that differ", null, h("pre", { class: "payload", tabindex: "0" }, JSON.stringify(found.config, null, 2))) : null,
  ].filter(Boolean);
}
