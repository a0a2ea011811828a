// The items as a table: truth, what each member said, the judge, and whether that is right. Searched and cut by the
// aggregator, so that a million of them are as smooth as ten.

import { get } from "../api.js";
import { h } from "../dom.js";
import { asked } from "../filters.js";
import { NONE, short } from "../format.js";
import { answerChip, card, correctMark, grid, message, notes, pager } from "../parts.js";
import { asText, change, go, link } from "../route.js";

const LIMIT = 50;
const TYPING_MS = 250;
const MOST_CHIPS = 12;
const ONLY = [["", "all"], ["wrong", "wrong"], ["right", "right"], ["unlabelled", "unlabelled"], ["failed", "with failures"]];

export const items = {
  title: "Items",
  tools(params) {
    let typing = null;
    const search = h("input", { type: "search", class: "grow", placeholder: "Search in keys, answers, truths", "aria-label": "Search", value: params.search ?? "" });
    search.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => change({ search: search.value, cursor: null }), TYPING_MS);
    });
    const only = h("select", { "aria-label": "Which items", onchange: (event) => change({ only: event.target.value, cursor: null }) }, ONLY.map(([value, title]) => h("option", { value, selected: value === (params.only ?? "") }, title)));
    const agreement = h("input", { "aria-label": "Agreement", placeholder: "Agreement, as 3/5", size: 16, value: params.agreement ?? "", onchange: (event) => change({ agreement: event.target.value, cursor: null }) });
    return h("div", { class: "tools" }, search, only, agreement);
  },
  async body(params, signal) {
    const of = await asked(params, signal);
    const cursor = Number(params.cursor) || 0;
    const view = { search: params.search, sort: params.sort, descending: params.down, only: params.only, agreement: params.agreement };
    const page = await get("/v1/items", { ...of, ...view, cursor, limit: LIMIT }, signal);
    if (!page.total) return [message("No items that these filters leave."), notes(page)];
    const sort = { by: params.sort, down: Boolean(params.down), change: (by) => change({ sort: by, down: params.sort === by && !params.down ? "true" : null, cursor: null }) };
    const where = (row) => ({ item: asText(row.item), run: of.run });
    return card(
      "Items",
      "One row for each. Click one for its calls.",
      grid(columns(where), page.rows, { caption: "Items", sort, open: (row) => go("trace", where(row)) }),
      pager(cursor, LIMIT, page.rows.length, page.total, page.next, (to) => change({ cursor: to || null })),
      notes(page),
    );
  },
};

function columns(where) {
  return [
    { name: "item", title: "Item", sorts: true, class: "key", cell: (row) => [h("a", { href: link("trace", where(row)) }, short(row.item, 40)), row.epoch === null ? null : h("span", { class: "soft" }, ` #${row.epoch}`)] },
    { name: "correct", title: "Right", sorts: true, cell: (row) => correctMark(row.correct) },
    { name: "truth", title: "Truth", sorts: true, cell: (row) => short(row.truth, 40) },
    { name: "judge", title: "Judge", sorts: true, class: "text", cell: (row) => short(row.judge, 60) },
    { name: "agreement", title: "Agreement", sorts: true, cell: (row) => row.agreement ?? NONE },
    { name: "answers", title: "Members", cell: (row) => said(row) },
  ];
}

function said(row) {
  const answers = Object.entries(row.answers ?? {});
  const chips = answers.slice(0, MOST_CHIPS).map(([name, answer]) => answerChip(name, answer, row.truth));
  return h("div", { class: "chips" }, chips, answers.length > MOST_CHIPS && h("span", { class: "chip none" }, `${answers.length - MOST_CHIPS} more`));
}
