// The dialog in which an item is labelled: its truth, its answers as right or wrong, and who said what so far. It stands
// beside the view, whatever is drawn anew there, for as long as the address says `label=` (a key, as JSON).

import { get } from "./api.js";
import { h, put } from "./dom.js";
import { asked } from "./filters.js";
import { short, when } from "./format.js";
import { markButtons, nameField, say } from "./labels.js";
import { asText, change, route } from "./route.js";

const MOST = 60;
const ANSWERING = ["judge", "member"];

let open = null; // {key, dialog}: what is shown

// Open, close or leave it, as the address says.
export function followLabel() {
  const key = route().params.label ?? null;
  if (open?.key === key || (!open && key === null)) return;
  open?.dialog.remove();
  open = null;
  if (key === null) return;
  const dialog = h("dialog", { class: "labelling", "aria-labelledby": "labelling", onclose: leave });
  open = { key, dialog };
  document.body.append(dialog);
  fill(dialog, key, null);
  dialog.showModal();
}

function leave() {
  if (route().params.label) change({ label: null });
}

async function fill(dialog, text, told) {
  let known = { key: text, items: [], calls: [], labels: [] };
  try {
    known = await knownOf(text);
  } catch (error) {
    told ??= { wrong: error.message };
  }
  const { key, items, calls, labels } = known;
  const answers = calls.filter((row) => ANSWERING.includes(row.type) && row.outcome === "result").sort((one, other) => (one.type === "judge" ? 0 : 1) - (other.type === "judge" ? 0 : 1));
  const status = h("p", { role: "status", class: told?.wrong ? "bad" : "good" }, told?.wrong ?? told?.done ?? "");
  const after = (wrong) => fill(dialog, text, wrong ? { wrong } : { done: "Recorded." });
  put(
    dialog,
    h("header", {}, h("h2", { id: "labelling" }, `Label ${short(key, 60)}`), h("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => dialog.close() }, "✕")),
    truthForm(key, items[0]?.truth ?? null, answers, after),
    answers.length ? answerList(answers.slice(0, MOST), after) : null,
    labels.length ? historyList(labels) : null,
    h("footer", {}, nameField(), status),
  );
}

// What is known of an item. A key that reads like a number may be a text.
async function knownOf(text) {
  const of = await asked(route().params, undefined, ["run"]);
  let key = parsed(text);
  const ask = () => get("/v1/items", { ...of, item: JSON.stringify(key), limit: 1 });
  let items = await ask();
  if (!items.rows.length && typeof key !== "string") {
    key = text;
    items = await ask();
  }
  const [trace, labels] = await Promise.all([get("/v1/trace", { ...of, item: asText(key), limit: 1000 }), get("/v1/query/labels", { item: JSON.stringify(key), pool: true })]);
  return { key, items: items.rows, calls: trace.rows, labels: labels.rows };
}

// The truth as text; where it reads like an answer that was given, it is that answer, be it a number or a text.
function truthForm(key, truth, answers, after) {
  const shown = truth === null ? "" : asText(truth);
  const field = h("input", { type: "text", value: shown, list: "answers", autocomplete: "off", "aria-label": "Truth" });
  const given = new Map(answers.map((row) => [asText(row.answer), row.answer]));
  const save = async (event) => {
    event.preventDefault();
    if (field.value) after(await say({ item: key, truth: given.has(field.value) ? given.get(field.value) : like(field.value, [...given.values()]) }));
  };
  const withdraw = async () => after(await say({ item: key, truth: null }));
  return h(
    "form",
    { onsubmit: save },
    h("h3", {}, "What is true"),
    h("div", { class: "row" }, field, h("datalist", { id: "answers" }, [...given.keys()].slice(0, MOST).map((value) => h("option", { value }))), h("button", { class: "first" }, "Save"), h("button", { type: "button", onclick: withdraw, title: "Take back what you said of it" }, "Withdraw")),
  );
}

// A new truth is of the kind that all answers have: where they are numbers, what reads like one is one.
function like(text, answers) {
  const numbers = answers.length > 0 && answers.every((answer) => typeof answer === "number");
  return numbers && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

function answerList(answers, after) {
  const rows = answers.map((row) => h("li", {}, markButtons(row, after), h("span", { class: "who" }, short(row.operator, 40)), h("span", { class: "said" }, short(row.answer, 160))));
  return h("section", {}, h("h3", {}, "What was answered"), h("ul", { class: "answers" }, rows));
}

function historyList(labels) {
  const rows = [...labels].reverse().slice(0, MOST).map((row) => h("li", { class: row.status === "current" ? null : "soft" }, h("span", { class: "said" }, row.truth === null ? "withdrawn" : short(row.truth, 80)), h("span", { class: "soft" }, `${row.by || "nobody named"}, ${when(row.at)}${row.status === "replaced" ? ", replaced" : ""}`)));
  return h("section", {}, h("h3", {}, "Who said so"), h("ul", { class: "history" }, rows));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
