// Scales and axes: from data to pixels, and the round numbers between.

import { s } from "../dom.js";

// How wide a chart is drawn, up to `most`: letters keep their size on a narrow screen.
export function chartWidth(most) {
  return Math.max(300, Math.min(most, document.getElementById("main").clientWidth - 64));
}

export function linear([from, to], [start, end]) {
  const span = to - from || 1;
  return (value) => start + ((value - from) / span) * (end - start);
}

// About `count` round numbers within [from, to].
export function ticks(from, to, count = 5) {
  if (!(to > from)) return [from];
  const raw = (to - from) / count;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * size >= raw) * size;
  const found = [];
  for (let value = Math.ceil(from / step) * step; value <= to + step * 1e-9; value += step) found.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  return found;
}

// The powers of ten around some numbers; zero and below count as the least of the others.
export function powersOfTen(values) {
  const logs = values.filter((value) => value > 0).map(Math.log10);
  if (!logs.length) return [1, 10];
  const [from, to] = [Math.floor(Math.min(...logs)), Math.ceil(Math.max(...logs))];
  return Array.from({ length: Math.max(to, from + 1) - from + 1 }, (_, place) => 10 ** (from + place));
}

// Horizontal lines with their numbers on the left.
export function rows(values, y, left, right, show) {
  return values.map((value) => [
    s("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
    s("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, show(value)),
  ]);
}
