// Whether all of it arrived: what is missing or failed, and who sends.

import { get, table } from "../api.js";
import { h } from "../dom.js";
import { bytes, number, seconds, short, when } from "../format.js";
import { card, grid, message, pager, tile } from "../parts.js";
import { change } from "../route.js";

const LIMIT = 50;
const WRONG = ["errors", "lost", "missing", "unlinked", "gaps", "undecodable", "damaged_bytes", "removed_segments"];
const TITLES = { errors: "Raised", lost: "Lost calls", missing: "Missing calls", unlinked: "Unlinked judges", gaps: "Lost events", undecodable: "Unreadable", damaged_bytes: "Damaged bytes", removed_segments: "Removed segments" };

export const health = {
  title: "Health",
  filters: [],
  async body(params, signal) {
    const cursor = Number(params.cursor) || 0;
    const [counts, losses, producers, info] = await Promise.all([get("/v1/health", {}, signal), get("/v1/losses", {}, signal), get("/v1/producers", { cursor, limit: LIMIT }, signal), get("/v1/info", {}, signal)]);
    const known = table(counts);
    return [
      h("div", { class: "tiles many" }, tile("Events", number(known.events), `${bytes(info.position)} recorded`), WRONG.map((name) => tile(TITLES[name], number(known[name]), null, known[name] ? "bad" : null))),
      ...counts.notes.map((note) => message(note, "warn")),
      losses.rows.length ? card("Where events were lost", null, grid(lossColumns(), losses.rows, { caption: "Where events were lost" })) : null,
      card("Producers", "Processes that emit; those connected first.", grid(producerColumns(), producers.rows, { caption: "Producers", stacks: true }), pager(cursor, LIMIT, producers.rows.length, producers.total, producers.next, (to) => change({ cursor: to || null }))),
    ].filter(Boolean);
  },
};

function lossColumns() {
  return [
    { name: "host", title: "Host", cell: (row) => row.host || "unknown" },
    { name: "pid", title: "Process", number: true, cell: (row) => String(row.pid || "") },
    { name: "events", title: "Events", number: true, cell: (row) => number(row.events) },
    { name: "reason", title: "Why" },
  ];
}

function producerColumns() {
  return [
    { name: "host", title: "Host", class: "key", cell: (row) => short(row.host) },
    { name: "status", title: "Status", cell: (row) => h("span", { class: `mark ${row.status === "connected" ? "good" : "soft"}`, title: row.why }, row.status) },
    { name: "pid", title: "Process", number: true, cell: (row) => String(row.pid ?? "") },
    { name: "events", title: "Events", number: true, cell: (row) => number(row.events) },
    { name: "bytes", title: "Bytes", number: true, cell: (row) => bytes(row.bytes) },
    { name: "lost", title: "Lost", number: true, cell: (row) => h("span", { class: row.lost ? "bad" : null }, number(row.lost)) },
    { name: "delay_s", title: "Delay", number: true, cell: (row) => seconds(row.delay_s) },
    { name: "heard", title: "Last heard", cell: (row) => when(row.heard) },
  ];
}
