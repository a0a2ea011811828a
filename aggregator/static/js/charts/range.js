// A number with its interval on a short track, for a cell of a table.

import { s } from "../dom.js";
import { linear } from "./scale.js";

const WIDTH = 72;
const HEIGHT = 12;

// `estimate` is {value, low, high}, `from` and `to` the ends of the track. What it says stands beside it as text.
export function rangeMark({ value, low, high }, from, to) {
  const x = linear([from, to], [2, WIDTH - 2]);
  const y = HEIGHT / 2;
  const within = (number) => x(Math.min(Math.max(number, from), to));
  return s(
    "svg",
    { class: "range", width: WIDTH, height: HEIGHT, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" },
    s("line", { class: "track", x1: 0, x2: WIDTH, y1: y, y2: y }),
    from < 0 && s("line", { class: "zero", x1: x(0), x2: x(0), y1: 1, y2: HEIGHT - 1 }),
    low !== null && s("line", { class: "interval", x1: within(low), x2: within(high), y1: y, y2: y }),
    s("circle", { class: "point", cx: within(value), cy: y, r: 3.5 }),
  );
}
