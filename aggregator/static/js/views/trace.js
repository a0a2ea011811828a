// One trace: its calls as a waterfall, and everything that was kept of the call that is chosen.

import { get } from "../api.js";
import { waterfall } from "../charts/waterfall.js";
import { h } from "../dom.js";
import { asked } from "../filters.js";
import { full, instant, number, seconds, short, when } from "../format.js";
import { markButtons } from "../labels.js";
import { card, message, outcomeMark, pager } from "../parts.js";
import { change, here, link } from "../route.js";

const LIMIT = 500;

export const trace = {
  title: "Trace",
  filters: [],
  async body(params, signal) {
    if (!params.item && !params.trace && !params.call) return message("No trace is chosen: choose an item first.");
    const of = params.item ? await asked(params, signal, ["run"]) : {};
    const wanted = { ...of, item: params.item, trace: params.trace, call: params.item || params.trace ? null : params.call };
    const cursor = Number(params.cursor) || 0;
    const attempts = params.attempts === "all" ? "all" : null;
    const page = await get("/v1/trace", { ...wanted, epoch: params.epoch, attempts, cursor, limit: LIMIT }, signal);
    const { rows } = page;
    if (!rows.length) return message("No such trace is recorded here.", "warn");
    const choose = (row) => change({ call: row.call_id, attempt: row.attempt || null });
    const title = params.item ? `Item ${short(params.item, 60)}` : `Trace ${rows[0].trace_id ?? ""}`;
    const label = params.item && h("a", { href: here({ label: isNumber(params.item) ? params.item : JSON.stringify(params.item) }) }, "Label it");
    const about = h("span", {}, `${number(rows.length)} calls from ${when(rows[0].start)} on. `, attemptsLink(params), label && " · ", label);
    const more = page.next !== null || cursor ? pager(cursor, LIMIT, rows.length, page.next === null ? cursor + rows.length : null, page.next, (to) => change({ cursor: to || null })) : null;
    const left = card(title, about, waterfall(rows, params.call, choose), more);
    if (!params.call) return h("div", { class: "split" }, left);
    const details = await get(`/v1/calls/${encodeURIComponent(params.call)}`, { attempt: params.attempt }, signal);
    return h("div", { class: "split two" }, left, h("div", { class: "beside" }, callCard(details, rows)));
  },
};

function attemptsLink(params) {
  const all = params.attempts === "all";
  return h("a", { href: link("trace", { ...params, attempts: all ? null : "all" }) }, all ? "Only attempts that count" : "Every attempt");
}

function isNumber(text) {
  return /^-?\d{1,15}$/.test(text);
}

function callCard(call, rows) {
  const said = h("span", { class: "bad", role: "status" });
  const marks = call.outcome === "result" && markButtons(call, (sentence) => said.replaceChildren(sentence ?? ""));
  const facts = [
    ["Type", short(call.type, 100)],
    ["Stage", short(call.stage, 100)],
    ["Outcome", [call.outcome === "result" ? "result" : outcomeMark(call.outcome), call.attempt ? ` (attempt ${call.attempt})` : ""]],
    ["Began", instant(call.start)],
    ["Took", seconds(call.duration_s)],
    ["Call", h("span", { class: "mono" }, call.call_id)],
    ["Read", readBy(call, rows)],
    ["Tags", Object.keys(call.tags ?? {}).length ? short(call.tags, 300) : null],
    ["Emitted by", h("span", { class: "mono" }, `${call.producer.slice(0, 8)} · ${call.seq}`)],
  ].filter(([, value]) => value !== null && value !== "");
  return h(
    "section",
    { class: "card" },
    h("header", {}, h("h2", {}, short(call.operator, 80)), marks),
    said,
    h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    block("Error", call.failure && `${call.failure.type}: ${call.failure.message}\n\n${call.failure.traceback ?? ""}`),
    block("Answer", call.answer),
    same(call.result, call.answer) ? null : block("Result", call.result),
    block("Arguments", call.args?.length ? call.args : null),
    block("Named arguments", Object.keys(call.kwargs ?? {}).length ? call.kwargs : null),
    block("Scores", Object.keys(call.scores ?? {}).length ? call.scores : null),
  );
}

function readBy(call, rows) {
  const names = (call.links ?? []).map((id) => rows.find((row) => row.call_id === id)?.operator ?? id);
  return names.length ? names.map((name) => short(name, 40)).join(", ") : null;
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

function block(title, value) {
  if (value === null || value === undefined) return null;
  return [h("h3", {}, title), h("pre", { class: "payload", tabindex: "0" }, full(value))];
}
