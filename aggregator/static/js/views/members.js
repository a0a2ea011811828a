// The members of ensembles beside each other: how right each is, how often it fails, how long it takes.

import { get, table } from "../api.js";
import { h } from "../dom.js";
import { asked } from "../filters.js";
import { number, percent, seconds } from "../format.js";
import { card, grid, message, notes } from "../parts.js";
import { link } from "../route.js";

export const members = {
  title: "Members",
  async body(params, signal) {
    const of = await asked(params, signal);
    const [flow, operators] = await Promise.all([get("/v1/flow", of, signal), get("/v1/operators", of, signal)]);
    const known = new Map(table(flow).nodes.map((node) => [key(node), node]));
    const rows = operators.rows.map((row) => ({ ...row, accuracy: known.get(key(row))?.accuracy ?? null, disagreement: known.get(key(row))?.disagreement ?? null }));
    if (!rows.length) return message("No operator was called that these filters leave.");
    const columns = [
      { name: "operator", title: "Operator", cell: (row) => h("a", { href: link("overview", { operator: row.operator, stage: row.stage }) }, row.operator) },
      { name: "type", title: "Type" },
      { name: "stage", title: "Stage" },
      { name: "accuracy", title: "Right", number: true, cell: (row) => percent(row.accuracy) },
      { name: "disagreement", title: "Disagreement", number: true, cell: (row) => number(row.disagreement) },
      { name: "calls", title: "Calls", number: true, cell: (row) => number(row.calls) },
      { name: "errors", title: "Errors", number: true, cell: (row) => h("span", { class: row.errors ? "bad" : null }, number(row.errors)) },
      { name: "p50_s", title: "p50", number: true, cell: (row) => seconds(row.p50_s) },
      { name: "p95_s", title: "p95", number: true, cell: (row) => seconds(row.p95_s) },
    ];
    return card("Operators", "Members, judges and what calls them.", grid(columns, rows, { caption: "Operators" }), notes(operators));
  },
};

function key(row) {
  return JSON.stringify([row.operator, row.type, row.stage]);
}
