// What happens over time: how much, how fast, how much disagreement, how many errors.

import { get, table } from "../api.js";
import { lineChart } from "../charts/lines.js";
import { h } from "../dom.js";
import { asked } from "../filters.js";
import { number, percent, seconds } from "../format.js";
import { card, message, notes } from "../parts.js";

// A power of ten as a time, without digits that say nothing.
function tick(value) {
  return seconds(value).replace(/\.0+(?= )/, "");
}

export const time = {
  title: "Time",
  async body(params, signal) {
    const result = await get("/v1/timeline", await asked(params, signal), signal);
    const line = table(result);
    const [group] = line.groups ?? [];
    if (!group) return message("No call began that these filters leave.");
    const times = group.calls.map((_, place) => line.start + place * line.bucket_s);
    const rate = group.calls.map((count) => count / line.bucket_s);
    const errors = group.errors.map((count, place) => (group.calls[place] ? count / group.calls[place] : null));
    const latency = [{ name: "p50", values: group.p50_s }, { name: "p95", values: group.p95_s }];
    return [
      h(
        "div",
        { class: "columns" },
        card("Throughput", "Calls begun per second.", lineChart("Calls per second", times, [{ name: "calls", values: rate }], { show: (value) => number(value, 1) })),
        card("Latency", "How long calls took.", lineChart("Latency", times, latency, { show: tick, powers: true })),
        card("Disagreement", "Mean over ensemble calls; 0 is unanimous.", lineChart("Disagreement", times, [{ name: "disagreement", values: group.disagreement }], { show: (value) => number(value, 2), most: 1 })),
        card("Errors", "Share of calls that raised.", lineChart("Errors", times, [{ name: "errors", values: errors }], { show: (value) => percent(value, 0) })),
      ),
      h("p", { class: "note" }, `Each point stands for ${seconds(line.bucket_s)}.`),
      notes(result),
    ].filter(Boolean);
  },
};
