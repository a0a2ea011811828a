// The runs of this recording.

import { get } from "../api.js";
import { h } from "../dom.js";
import { number, short } from "../format.js";
import { card, grid, message } from "../parts.js";
import { link } from "../route.js";

const TONES = { finished: "good", failed: "bad", crashed: "bad", running: "warn" };

export const runs = {
  title: "Runs",
  filters: [],
  async body(params, signal) {
    const { rows } = await get("/v1/runs", {}, signal);
    if (!rows.length) return message("No run was recorded yet.");
    const columns = [
      { name: "name", title: "Run", class: "key", cell: (row) => h("a", { href: link("overview", { run: row.id }) }, short(row.name ?? row.id)) },
      { name: "status", title: "Status", cell: (row) => h("span", { class: `mark ${TONES[row.status] ?? "soft"}` }, row.status) },
      { name: "project", title: "Project", cell: (row) => row.project ?? "" },
      { name: "calls", title: "Calls", number: true, cell: (row) => number(row.calls) },
      { name: "host", title: "Host", cell: (row) => row.host ?? "" },
      { name: "config", title: "Settings", class: "text", cell: (row) => (Object.keys(row.config ?? {}).length ? short(row.config, 120) : "") },
      { name: "git", title: "Commit", cell: (row) => h("span", { class: "mono" }, row.git?.slice(0, 9) ?? "") },
      { name: "id", title: "Id", cell: (row) => h("span", { class: "mono" }, row.id) },
    ];
    return card("Runs", "The latest first.", grid(columns, [...rows].reverse(), { caption: "Runs", stacks: true }));
  },
};
