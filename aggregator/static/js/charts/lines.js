// Lines over time: one chart for each unit. Gaps in the data are gaps in the line.

import { h, s } from "../dom.js";
import { instant, when } from "../format.js";
import { chartWidth, linear, powersOfTen, rows, ticks } from "./scale.js";

const WIDEST = 640;
const HEIGHT = 190;
const LEFT = 58;
const BOTTOM = 26;
const TOP = 8;
const SHORT_S = 10;

// `series`: [{name, values}], one value (or null) for each of `times` (Unix seconds). `most` fixes the upper end. With
// `powers` each step up is ten times as much: for what is small but for a few.
export function lineChart(title, times, series, { show, most = null, powers = false }) {
  const width = chartWidth(WIDEST);
  const known = series.flatMap((one) => one.values).filter((value) => value !== null);
  const upper = most ?? Math.max(...known, 0) * 1.08;
  const x = linear([times[0] ?? 0, times.at(-1) ?? 1], [LEFT, width - 10]);
  const steps = powers ? powersOfTen(known) : ticks(0, upper || 1, 4);
  const height = powers ? Math.log10 : (value) => value;
  const scale = linear([height(steps[0]), powers ? height(steps.at(-1)) : upper || 1], [HEIGHT - BOTTOM, TOP]);
  const y = (value) => scale(height(powers ? Math.max(value, steps[0]) : value));
  const labels = [0, Math.floor((times.length - 1) / 2), times.length - 1].filter((place, at, all) => place >= 0 && all.indexOf(place) === at);
  const drawn = series.map((one, number) => runsOf(times, one.values).map((run) => [series.length === 1 && run.length > 1 && area(run, x, y), mark(run, x, y, number + 1)]));
  const told = times.at(-1) - times[0] < SHORT_S ? instant : when;
  const chart = s(
    "svg",
    { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `${title} over time` },
    rows(steps, y, LEFT, width - 10, show),
    labels.map((place, at) => s("text", { x: x(times[place]), y: HEIGHT - 6, "text-anchor": times.length === 1 ? "middle" : ["start", "middle", "end"][labels.length === 2 && at ? 2 : at] }, told(times[place]))),
    drawn,
  );
  const legend = series.length > 1 && h("p", { class: "legend" }, series.map((one, number) => h("span", { class: `s${number + 1}` }, one.name)));
  return [legend, chart];
}

// Stretches without a null: [[time, value]…].
function runsOf(times, values) {
  const found = [[]];
  times.forEach((time, place) => {
    if (values[place] === null || values[place] === undefined) found.push([]);
    else found.at(-1).push([time, values[place]]);
  });
  return found.filter((run) => run.length);
}

function area(run, x, y) {
  const path = run.map(([time, value]) => `L${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  return s("path", { class: "area", d: `M${x(run[0][0]).toFixed(1)} ${y(0)}${path}L${x(run.at(-1)[0]).toFixed(1)} ${y(0)}Z` });
}

function mark(run, x, y, number) {
  if (run.length === 1) return s("circle", { class: `dot f${number}`, cx: x(run[0][0]), cy: y(run[0][1]), r: 3 });
  const path = run.map(([time, value], place) => `${place ? "L" : "M"}${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  return s("path", { class: `line s${number}`, d: path });
}
