// The members of ensembles beside each other: what each is worth, how right it is, what it costs, how long it takes; and
// all operators.

import { get, table } from "../api.js";
import { rangeMark } from "../charts/range.js";
import { h } from "../dom.js";
import { asked } from "../filters.js";
import { NONE, dollars, inOrder, number, percent, seconds, short, signed } from "../format.js";
import { card, grid, message, notes } from "../parts.js";
import { link } from "../route.js";

export const members = {
  title: "Members",
  async body(params, signal, draw) {
    const of = await asked(params, signal);
    const [operators, flow, cost] = await Promise.all([get("/v1/operators", of, signal), get("/v1/flow", of, signal), get("/v1/query/cost", of, signal)]);
    if (!operators.rows.length) return message("No operator was called that these filters leave.");
    const all = operatorCard(operators, table(flow), spentBy(cost));
    draw(all);
    const values = await get("/v1/query/member_value", of, signal);
    return values.rows.length ? [memberCard(values, operators.rows, table(flow), spentBy(cost)), all] : [all, notes(values)].filter(Boolean);
  },
};

function memberCard(values, operators, flow, spent) {
  const known = new Map(operators.map((row) => [key(row), row]));
  const rows = values.rows.map((row) => ({ ...row, ...whoIs(row, flow, known), usd: spent.get(row.member) ?? null }));
  const most = Math.max(0.01, ...rows.flatMap((row) => [row.shapley, row.high ?? 0, row.leave_one_out_high ?? row.leave_one_out]));
  const least = Math.min(0, ...rows.flatMap((row) => [row.shapley, row.low ?? 0, row.leave_one_out_low ?? row.leave_one_out]));
  const columns = [
    { name: "member", title: "Member", class: "key", cell: (row) => h("a", { href: link("overview", { operator: row.operator ?? row.member }) }, short(row.member, 40)) },
    { name: "stage", title: "Of", cell: (row) => h("span", { class: "soft" }, short(row.stage, 40)) },
    { name: "accuracy", title: "Right", class: "number ranged", number: true, cell: (row) => ranged(percent, { value: row.accuracy, low: row.accuracy_low, high: row.accuracy_high }, 0, 1) },
    { name: "shapley", title: "Value", class: "number ranged", number: true, cell: (row) => ranged(percent, { value: row.shapley, low: row.low, high: row.high }, least, most) },
    { name: "leave_one_out", title: "Lost without it", class: "number ranged", number: true, cell: (row) => ranged(signed, { value: row.leave_one_out, low: row.leave_one_out_low, high: row.leave_one_out_high }, least, most) },
    { name: "answered", title: "Answered", number: true, cell: (row) => (row.answered === row.n ? number(row.n) : `${number(row.answered)} of ${number(row.n)}`) },
    ...(spent.size ? [{ name: "usd", title: "Cost", number: true, cell: (row) => dollars(row.usd) }] : []),
    { name: "p50_s", title: "p50", number: true, cell: (row) => seconds(row.p50_s) },
    { name: "p95_s", title: "p95", number: true, cell: (row) => seconds(row.p95_s) },
  ];
  const about = "How right each is alone, and what it is worth to the majority: its Shapley value (the values of an ensemble add up to the accuracy of its majority), and what is lost without it. With 95% intervals.";
  return card("Members", about, grid(columns, rows, { caption: "Members", stacks: true }), notes(values));
}

// A number, drawn on its track, with its interval below.
function ranged(show, estimate, from, to) {
  if (estimate.value === null) return NONE;
  const between = estimate.low === null ? "no interval" : `${show(estimate.low)} … ${show(estimate.high)}`;
  return [h("span", { class: "amount" }, show(estimate.value)), rangeMark(estimate, from, to), h("span", { class: "between" }, between)];
}

// The operator that a member of an ensemble in `row.stage` is, with its times.
function whoIs(row, flow, known) {
  const panels = new Set(flow.nodes.filter((node) => node.type === "ensemble" && node.stage === row.stage).map((node) => node.id));
  const below = new Set(flow.edges.filter((edge) => panels.has(edge.source)).map((edge) => edge.target));
  const node = flow.nodes.find((one) => below.has(one.id) && one.operator === row.member);
  const { operator, p50_s = null, p95_s = null } = (node && known.get(key(node))) ?? {};
  return { operator, p50_s, p95_s };
}

function operatorCard(operators, flow, spent) {
  const known = new Map(flow.nodes.map((node) => [key(node), node]));
  const rows = operators.rows.map((row) => ({ ...row, accuracy: known.get(key(row))?.accuracy ?? null, disagreement: known.get(key(row))?.disagreement ?? null, usd: spent.get(row.operator) ?? null }));
  rows.sort((one, other) => inOrder(one.type, other.type) || inOrder(one.stage, other.stage) || inOrder(one.operator, other.operator));
  const columns = [
    { name: "operator", title: "Operator", class: "key", cell: (row) => h("a", { href: link("overview", { operator: row.operator, stage: row.stage }) }, short(row.operator, 40)) },
    { name: "type", title: "Type", class: "soft", cell: (row) => short(row.type, 30) },
    { name: "stage", title: "Stage", cell: (row) => short(row.stage, 30) },
    { name: "accuracy", title: "Right", number: true, cell: (row) => percent(row.accuracy) },
    { name: "disagreement", title: "Disagreement", number: true, cell: (row) => number(row.disagreement) },
    { name: "calls", title: "Calls", number: true, cell: (row) => number(row.calls) },
    { name: "errors", title: "Errors", number: true, cell: (row) => h("span", { class: row.errors ? "bad" : null }, number(row.errors)) },
    ...(spent.size ? [{ name: "usd", title: "Cost", number: true, cell: (row) => (row.usd === null ? NONE : dollars(row.usd)) }] : []),
    { name: "p50_s", title: "p50", number: true, cell: (row) => seconds(row.p50_s) },
    { name: "p95_s", title: "p95", number: true, cell: (row) => seconds(row.p95_s) },
  ];
  return card("Operators", "Members, judges and what calls them.", grid(columns, rows, { caption: "Operators", stacks: true }), notes(operators));
}

// What each operator cost, by its name.
function spentBy(cost) {
  return new Map(cost.rows.filter((row) => row.of === "operator" && row.usd !== null).map((row) => [row.name, row.usd]));
}

function key(row) {
  return JSON.stringify([row.operator, row.type, row.stage]);
}
