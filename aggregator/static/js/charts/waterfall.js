// One tree of calls over time: a row for each call, indented by depth, with its span beside it.

import { h, s } from "../dom.js";
import { seconds, short } from "../format.js";
import { outcomeMark } from "../parts.js";

const INDENT = 0.85;
const DEEPEST = 14;

// `rows` as /v1/trace gives them; `chosen` is a call id; `choose(row)` what a click on a name does.
export function waterfall(rows, chosen, choose) {
  const begins = rows.map((row) => row.start).filter((start) => start !== null);
  const first = Math.min(...begins);
  const last = Math.max(...rows.map((row) => (row.start ?? first) + (row.duration_s ?? 0)));
  const span = last - first || 1e-9;
  const read = new Set(rows.find((row) => row.call_id === chosen)?.links ?? []);
  const body = rows.map((row) => {
    const is = row.call_id === chosen;
    return h(
      "tr",
      { "aria-selected": is ? "true" : null, class: read.has(row.call_id) ? "linked" : null },
      h("td", { class: "who" }, indented(row, name(row, choose))),
      h("td", {}, bar(row, first, span)),
      h("td", { class: "took number" }, seconds(row.duration_s)),
    );
  });
  const head = h("tr", {}, h("th", { scope: "col", class: "who" }, "Call"), h("th", { scope: "col" }, `0 … ${seconds(span)}`), h("th", { scope: "col", class: "took number" }, "Took"));
  return h("table", { class: "fall" }, h("caption", { class: "only-read" }, "Calls of this trace"), h("thead", {}, head), h("tbody", {}, body));
}

function indented(row, content) {
  content.style.paddingLeft = `${Math.min(row.depth, DEEPEST) * INDENT}rem`;
  return content;
}

function name(row, choose) {
  const kind = [row.type, row.stage === "default" ? null : row.stage, row.attempt ? `attempt ${row.attempt}` : null].filter(Boolean).join(" · ");
  return h(
    "div",
    { class: "name" },
    h("button", { type: "button", title: short(row.operator, 200), onclick: () => choose(row) }, short(row.operator, 60)),
    outcomeMark(row.outcome),
    row.missing ? h("span", { class: "mark warn" }, `${row.missing} missing`) : null,
    h("span", { class: "kind" }, short(kind, 60)),
  );
}

function bar(row, first, span) {
  if (row.start === null) return null;
  const left = (100 * (row.start - first)) / span;
  const width = Math.max(0.35, (100 * (row.duration_s ?? 0)) / span);
  const kind = row.outcome === "result" ? row.type : row.outcome;
  return s(
    "svg",
    { "aria-hidden": "true" },
    s("rect", { class: `span ${["ensemble", "judge", "error", "lost", "open"].includes(kind) ? kind : ""}`, x: `${Math.min(left, 99.6)}%`, width: `${Math.min(width, 100 - Math.min(left, 99.6))}%`, y: 3, height: 12, rx: 3 }),
  );
}
