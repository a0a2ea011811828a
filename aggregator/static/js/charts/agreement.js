// Agreement of the members → how often the judge is right: a point with its 95% interval for each share, and its n.

import { s } from "../dom.js";
import { number, percent } from "../format.js";
import { chartWidth, linear } from "./scale.js";

const WIDEST = 560;
const ROW = 34;
const LEFT = 62;
const RIGHT = 126;
const TOP = 8;

// `points`: [{name, value, low, high, n}], in the order in which they are shown.
export function agreementChart(points) {
  const width = chartWidth(WIDEST);
  const height = TOP + ROW * points.length + 34;
  const x = linear([0, 1], [LEFT, width - RIGHT]);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((value) => [
    s("line", { class: "grid", x1: x(value), x2: x(value), y1: TOP, y2: height - 28 }),
    s("text", { x: x(value), y: height - 10, "text-anchor": "middle" }, percent(value, 0)),
  ]);
  const marks = points.map((point, place) => {
    const y = TOP + ROW * (place + 0.5);
    return [
      s("text", { class: "value", x: LEFT - 14, y: y + 4, "text-anchor": "end" }, point.name),
      point.low !== null && s("line", { class: "interval", x1: x(point.low), x2: x(point.high), y1: y, y2: y }),
      s("circle", { class: "point", cx: x(point.value), cy: y, r: 5.5 }),
      s("text", { class: "value", x: width - RIGHT + 14, y: y + 4 }, percent(point.value)),
      s("text", { x: width - RIGHT + 72, y: y + 4 }, `n ${number(point.n)}`),
    ];
  });
  const told = points.map((point) => `${point.name}: ${percent(point.value)} of ${point.n}`).join("; ");
  return s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Share right by agreement. ${told}` }, grid, marks);
}

