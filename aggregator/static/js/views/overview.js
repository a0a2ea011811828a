// What a run comes to: agreement, accuracy, what judges add, time, and what went wrong.

import { get, table } from "../api.js";
import { agreementChart } from "../charts/agreement.js";
import { h } from "../dom.js";
import { asked } from "../filters.js";
import { number, seconds } from "../format.js";
import { card, estimateTile, grid, message, notes, tile } from "../parts.js";
import { go, link } from "../route.js";

const VERBS = ["ensemble_disagreement", "majority_accuracy", "judge_accuracy", "judge_lift", "judge_accuracy_by_agreement"];

export const overview = {
  title: "Overview",
  async body(params, signal) {
    const of = await asked(params, signal);
    const verbs = VERBS.map((verb) => get(`/v1/query/${verb}`, of, signal));
    const [disagreement, majority, judge, lift, agreement, health, stages] = await Promise.all([...verbs, get("/v1/health", of, signal), get("/v1/stages", of, signal)]);
    const counts = table(health);
    if (!counts.calls) return message("Nothing was recorded yet that these filters leave. What arrives is shown at once.");
    const wrong = counts.errors + counts.lost;
    return [
      h(
        "div",
        { class: "tiles" },
        estimateTile("Judge right", judge),
        estimateTile("Majority right", majority),
        estimateTile("Judge over majority", lift, true),
        estimateTile("Members disagree", disagreement),
        tile("Calls", number(counts.calls), counts.open ? `${number(counts.open)} still open` : "all ended"),
        tile("Failed", number(wrong), `${number(counts.errors)} raised, ${number(counts.lost)} lost`, wrong ? "bad" : null),
      ),
      h("div", { class: "columns" }, agreementCard(agreement), stageCard(stages)),
    ];
  },
};

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
    { name: "errors", title: "Errors", number: true, cell: (row) => number(row.errors) },
    { name: "p50_s", title: "p50", number: true, cell: (row) => seconds(row.p50_s) },
    { name: "p95_s", title: "p95", number: true, cell: (row) => seconds(row.p95_s) },
  ];
  return card("Stages", "Calls, and how long they take.", grid(columns, stages.rows, { caption: "Stages", open: (row) => go("time", { stage: row.stage }) }));
}
