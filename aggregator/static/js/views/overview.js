// What a run comes to: agreement, accuracy, what judges add, time, and what went wrong. What is quickly known is drawn
// first, so that a large recording is looked at at once.

import { get, table } from "../api.js";
import { agreementChart } from "../charts/agreement.js";
import { h } from "../dom.js";
import { asked } from "../filters.js";
import { number, seconds } from "../format.js";
import { card, estimateTile, grid, message, notes, tile } from "../parts.js";
import { go, link } from "../route.js";

// In the order in which they are asked: those that take long on a large recording last.
const QUESTIONS = { health: "/v1/health", agreement: "/v1/query/judge_accuracy_by_agreement", disagreement: "/v1/query/ensemble_disagreement", judge: "/v1/query/judge_accuracy", stages: "/v1/stages", majority: "/v1/query/majority_accuracy", lift: "/v1/query/judge_lift" };

export const overview = {
  title: "Overview",
  async body(params, signal, draw) {
    const of = await asked(params, signal);
    const known = {};
    const ask = async ([name, path]) => {
      known[name] = await get(path, of, signal);
      if (known.health) draw(picture(known));
    };
    await Promise.all(Object.entries(QUESTIONS).map(ask));
    return picture(known);
  },
};

function picture(known) {
  const counts = table(known.health);
  if (!counts.calls) return message("Nothing was recorded yet that these filters leave. What arrives is shown at once.");
  const wrong = counts.errors + counts.lost;
  const estimate = (title, found, asLift) => (found ? estimateTile(title, found, asLift) : tile(title, "…", "is being counted"));
  return [
    h(
      "div",
      { class: "tiles" },
      estimate("Judge right", known.judge),
      estimate("Majority right", known.majority),
      estimate("Judge over majority", known.lift, true),
      estimate("Members disagree", known.disagreement),
      tile("Calls", number(counts.calls), counts.open ? `${number(counts.open)} still open` : "all ended"),
      tile("Failed", number(wrong), `${number(counts.errors)} raised, ${number(counts.lost)} lost`, wrong ? "bad" : null),
    ),
    h("div", { class: "columns" }, known.agreement && agreementCard(known.agreement), known.stages && stageCard(known.stages)),
  ];
}

function agreementCard(result) {
  const points = result.rows.map(([name, row]) => ({ name, value: row.value, low: row.interval[0], high: row.interval[1], n: row.n }));
  const about = "How often the judge is right when so many members agree, with 95% intervals.";
  if (!points.length) return card("Judge by agreement", about, message("No judge call with a known truth and known members."), notes(result));
  return card("Judge by agreement", about, agreementChart(points), notes(result));
}

function stageCard(stages) {
  const columns = [
    { name: "stage", title: "Stage", cell: (row) => h("a", { href: link("items", { stage: row.stage }) }, row.stage) },
    { name: "calls", title: "Calls", number: true, cell: (row) => number(row.calls) },
    { name: "errors", title: "Errors", number: true, cell: (row) => h("span", { class: row.errors ? "bad" : null }, number(row.errors)) },
    { name: "p50_s", title: "p50", number: true, cell: (row) => seconds(row.p50_s) },
    { name: "p95_s", title: "p95", number: true, cell: (row) => seconds(row.p95_s) },
  ];
  return card("Stages", "Calls, and how long they take.", grid(columns, stages.rows, { caption: "Stages", open: (row) => go("time", { stage: row.stage }) }));
}
