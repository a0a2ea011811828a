// The flow of operators, drawn as the aggregator laid it out. A node is a link to its operator.

import { s } from "../dom.js";
import { short } from "../format.js";

const MARGIN = 12;
const HEAD = 9;

// `drawing`: {width, height, nodes: [{x, y, width, height, lines, …}], edges: [{kind, curve, text, at}]}.
export function flowChart(drawing, address) {
  const width = drawing.width + 2 * MARGIN;
  const height = drawing.height + 2 * MARGIN;
  return s(
    "svg",
    { class: "flow", viewBox: `${-MARGIN} ${-MARGIN} ${width} ${height}`, width, height, role: "group", "aria-label": `Flow of ${drawing.nodes.length} operators` },
    drawing.edges.map(edge),
    drawing.nodes.map((one) => node(one, address(one))),
    drawing.edges.map((one) => one.text && s("text", { class: "behind", x: one.at[0], y: one.at[1] + 4, "text-anchor": "middle" }, one.text)),
  );
}

function edge(one) {
  const [start, ...rest] = one.curve;
  let path = `M${point(start)}`;
  for (let place = 0; place + 2 < rest.length; place += 3) path += `C${rest.slice(place, place + 3).map(point).join(" ")}`;
  const [tip, before] = [one.curve.at(-1), one.curve.at(-2)];
  const angle = Math.atan2(tip[1] - before[1], tip[0] - before[0]);
  const corner = (turn) => point([tip[0] - HEAD * Math.cos(angle + turn), tip[1] - HEAD * Math.sin(angle + turn)]);
  return [
    s("path", { class: `edge ${one.kind}`, d: path, "stroke-width": one.weight }),
    s("path", { class: `head ${one.kind}`, d: `M${point(tip)}L${corner(0.42)}L${corner(-0.42)}Z` }),
  ];
}

function node(one, href) {
  const role = ["ensemble", "judge"].includes(one.type) ? one.type : "";
  const texts = one.lines.map((line) => s("text", { class: line.kind, x: one.x + 14, y: one.y + line.y }, short(line.text, 60)));
  return s(
    "a",
    { href, "aria-label": `${short(one.operator)}, ${one.lines.slice(1).map((line) => line.text).join(", ")}` },
    s("rect", { class: "box", x: one.x, y: one.y, width: one.width, height: one.height, rx: 7 }),
    s("rect", { class: `role ${role}`, x: one.x, y: one.y + 6, width: 3.5, height: one.height - 12, rx: 1.5 }),
    texts,
  );
}

function point([x, y]) {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}
