// Parts of views: cards, tiles, tables, chips, pagers. They take data and give elements, and ask nobody.

import { h, opens } from "./dom.js";
import { NONE, number, percent, short, signed } from "./format.js";

export function card(title, about, ...children) {
  return h("section", { class: "card" }, h("h2", {}, title), about && h("p", { class: "soft" }, about), children);
}

export function tile(name, value, more, tone) {
  return h(
    "div",
    { class: "tile" },
    h("span", { class: "name" }, name),
    h("span", { class: tone ? `value ${tone}` : "value" }, value),
    more && h("span", { class: "more" }, more),
  );
}

// An estimate as a tile: its value, interval, and how much it is based on.
export function estimateTile(name, estimate, asLift = false) {
  if (!estimate || !estimate.n) return tile(name, NONE, "nothing to tell it from");
  const show = asLift ? signed : percent;
  const [low, high] = estimate.interval;
  const sure = low === null ? null : h("span", {}, `${show(low)} … ${show(high)}`);
  return tile(name, show(estimate.value), [sure, " ", h("span", {}, `n ${number(estimate.n)}`)].filter(Boolean));
}

export function notes(result) {
  const left = Object.entries(result?.left_out ?? {}).map(([reason, count]) => `${number(count)} ${reason}`);
  const said = [...(left.length ? [`Left out: ${left.join(", ")}.`] : []), ...(result?.notes ?? [])];
  return said.length ? h("p", { class: "note" }, said.join(" ")) : null;
}

export function message(sentence, tone = "") {
  return h("p", { class: `message ${tone}`, role: tone === "bad" ? "alert" : null }, sentence);
}

// columns: {name, title, number?, cell(row)?, sorts?}. `sort` is {by, down, change(name)}; `open` what a row opens;
// a grid that `stacks` shows each row as a block of its own where the screen is narrow.
export function grid(columns, rows, { caption, sort, open, stacks } = {}) {
  const head = columns.map((column) => {
    const sorted = sort && sort.by === column.name;
    const title = sort && column.sorts ? h("button", { type: "button", onclick: () => sort.change(column.name) }, column.title, sorted ? (sort.down ? " ↓" : " ↑") : "") : column.title;
    const order = sorted ? (sort.down ? "descending" : "ascending") : null;
    return h("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": order }, title);
  });
  const body = rows.map((row) => {
    const cells = columns.map((column) => h("td", { class: column.class ?? (column.number ? "number" : null), "data-title": column.title || null }, column.cell ? column.cell(row) : short(row[column.name])));
    const line = h("tr", { class: open ? "opens" : null }, cells);
    return open ? opens(line, () => open(row)) : line;
  });
  return h(
    "div",
    { class: stacks ? "scroll stacks" : "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: "only-read" }, caption), h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)),
  );
}

// Where a page of rows stands among all of them (a `total` of null: nobody counted them), and the way to its neighbours.
export function pager(cursor, limit, shown, total, next, turn) {
  const last = cursor + shown;
  const place = total === 0 ? "none" : `${number(cursor + 1)}–${number(last)} of ${total === null ? "more" : number(total)}`;
  return h(
    "div",
    { class: "pager" },
    h("span", { class: "soft" }, place),
    h(
      "span",
      {},
      h("button", { type: "button", disabled: cursor === 0, onclick: () => turn(Math.max(0, cursor - limit)) }, "Previous"),
      " ",
      h("button", { type: "button", disabled: next === null || next === undefined, onclick: () => turn(next) }, "Next"),
    ),
  );
}

// What a member said, coloured by whether it is what the truth says.
export function answerChip(name, answer, truth) {
  const silent = answer === null || (typeof answer === "string" && /^\((abstained|failed|missing)\)$/.test(answer));
  const accepted = Array.isArray(truth) ? truth : [truth];
  const tone = silent ? "none" : truth === null || truth === undefined ? "" : accepted.some((one) => same(one, answer)) ? "good" : "bad";
  const said = silent ? String(answer ?? "(abstained)").replace(/[()]/g, "") : short(answer, 40);
  return h("span", { class: `chip ${tone}`, title: `${short(name)}: ${short(answer, 300)}` }, h("span", { class: "of" }, short(name, 18)), h("span", { class: "said" }, said));
}

export function correctMark(share) {
  if (share === null || share === undefined) return h("span", { class: "soft" }, NONE);
  if (share === 1) return h("span", { class: "mark good" }, "✓ right");
  return share === 0 ? h("span", { class: "mark bad" }, "✗ wrong") : h("span", { class: "mark warn" }, percent(share, 0));
}

export function outcomeMark(outcome) {
  if (outcome === "result") return null;
  return h("span", { class: `mark ${outcome === "error" ? "bad" : "warn"}` }, outcome);
}

function same(one, other) {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}
