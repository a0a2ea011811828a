// The items as a table: truth, what each member said, the judge, and whether that is right. Searched and cut by the
// aggregator, so that a million of them are as smooth as ten.

import { get } from "../api.js";
import { h } from "../dom.js";
import { asked } from "../filters.js";
import { NONE, dollars, inOrder, number, short } from "../format.js";
import { answerChip, card, correctMark, grid, message, notes, pager } from "../parts.js";
import { asText, change, go, here, link } from "../route.js";

const LIMIT = 50;
const TYPING_MS = 250;
const MOST_CHIPS = 12;
const CORRECT = [["", "right or wrong"], ["wrong", "wrong"], ["right", "right"], ["unlabelled", "unlabelled"]];
const FAILED = [["", "with or without errors"], ["failed", "with errors"], ["whole", "without errors"]];

export const items = {
  title: "Items",
  tools(params) {
    let typing = null;
    const search = h("input", { type: "search", class: "grow", placeholder: "Search in keys, answers, truths", "aria-label": "Search", value: params.search ?? "" });
    search.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => change({ search: search.value, cursor: null }), TYPING_MS);
    });
    const agreement = h("input", { "aria-label": "Agreement", placeholder: "agreement, as 3/5", size: 16, value: params.agreement ?? "", onchange: (event) => change({ agreement: event.target.value, cursor: null }) });
    return h("div", { class: "tools" }, search, choice("Right or wrong", "correct", CORRECT, params), choice("Errors", "errors", FAILED, params), agreement);
  },
  async body(params, signal) {
    const of = await asked(params, signal);
    const cursor = Number(params.cursor) || 0;
    const only = [params.correct, params.errors].filter(Boolean).join(",");
    const view = { search: params.search, sort: params.sort, descending: params.down, only, agreement: params.agreement };
    const page = await get("/v1/items", { ...of, ...view, cursor, limit: LIMIT }, signal);
    if (!page.total) return [message("No items that these filters leave."), notes(page)];
    const sort = { by: params.sort, down: Boolean(params.down), change: (by) => change({ sort: by, down: params.sort === by && !params.down ? "true" : null, cursor: null }) };
    const where = (row) => ({ item: asText(row.item), run: of.run, epoch: row.epoch === null ? null : JSON.stringify(row.epoch) });
    const shown = columns(where).filter((column) => column.name !== "cost" || page.rows.some((row) => row.cost !== null));
    return card(
      "Items",
      "One row for each. Click one for its calls, ✎ to say what is right.",
      grid(shown, page.rows, { caption: "Items", sort, stacks: true, open: (row) => go("trace", where(row)) }),
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
    { name: "cost", title: "Cost", number: true, sorts: true, cell: (row) => dollars(row.cost) },
    { name: "label", title: "", class: "edit", cell: (row) => h("a", { href: here({ label: JSON.stringify(row.item) }), class: "pen", "aria-label": `Label ${short(row.item, 60)}`, title: "Label it" }, "✎") },
  ];
}

function choice(title, name, choices, params) {
  return h("select", { "aria-label": title, onchange: (event) => change({ [name]: event.target.value, cursor: null }) }, choices.map(([value, text]) => h("option", { value, selected: value === (params[name] ?? "") }, text)));
}

function said(row) {
  const answers = Object.entries(row.answers ?? {}).sort(([one], [other]) => inOrder(one, other));
  const chips = answers.slice(0, MOST_CHIPS).map(([name, answer]) => answerChip(name, answer, row.truth));
  const more = answers.length - MOST_CHIPS + (row.more_answers ?? 0);
  return h("div", { class: "chips" }, chips, more > 0 && h("span", { class: "chip none" }, `${number(more)} more`));
}
