// Who calls whom, and whose results go where: operators with their disagreement and accuracy. A click filters.

import { get } from "../api.js";
import { flowChart } from "../charts/flow.js";
import { h } from "../dom.js";
import { asked } from "../filters.js";
import { card, message, notes } from "../parts.js";
import { link } from "../route.js";

export const flow = {
  title: "Flow",
  async body(params, signal) {
    const drawing = await get("/v1/flow/drawing", await asked(params, signal), signal);
    if (!drawing.nodes.length) return message("No operator was called that these filters leave.");
    const address = (node) => link("overview", { operator: node.operator, stage: node.stage });
    return card(
      "Flow of operators",
      "Solid: calls. Dashed: results that were read. Click an operator to look at its calls alone.",
      h("div", { class: "scroll" }, flowChart(drawing, address)),
      notes(drawing),
    );
  },
};
