// What a reader says: whether an answer is right, and what is true of an item. Said to the aggregator, which records it.

import { Failure, post } from "./api.js";
import { h } from "./dom.js";

const KEY = "embertrace-annotator";
const KIND = "human";

// Who says it, as it is recorded: "human:ann", or "human" where nobody gave a name.
export function annotator() {
  const name = annotatorName();
  return name ? `${KIND}:${name}` : KIND;
}

export function annotatorName() {
  return localStorage.getItem(KEY) ?? "";
}

// A field for one's name, kept for the next time.
export function nameField() {
  const field = h("input", { type: "text", value: annotatorName(), placeholder: "your name", maxlength: 60, autocomplete: "off", "aria-label": "Your name" });
  field.addEventListener("input", () => localStorage.setItem(KEY, field.value.trim()));
  return h("label", { class: "signed" }, `recorded as ${KIND}:`, field);
}

// Record it; null where that is done, else the sentence that says why not. Whoever shows answers hears of it.
export async function say(label) {
  try {
    await post("/v1/labels", { ...label, by: annotator() });
  } catch (error) {
    if (error instanceof Failure) return error.message;
    throw error;
  }
  dispatchEvent(new Event("labelled"));
  return null;
}

// ✓ and ✗ for what a call answered; pressed again, the mark is withdrawn. `told(sentence)` gets what went wrong, or null.
export function markButtons(call, told) {
  const marked = call.scores?.correct ?? null;
  const button = (value, sign, word) => {
    const pressed = marked === value;
    const press = async (event) => {
      event.target.disabled = true;
      told(await say({ call: call.call_id, attempt: call.attempt, correct: pressed ? null : value }));
      event.target.disabled = false;
    };
    const name = pressed ? `${word}: withdraw the mark` : `Mark as ${word}`;
    return h("button", { type: "button", class: `mark-as ${value ? "good" : "bad"}`, "aria-pressed": String(pressed), "aria-label": `${name} (${call.operator})`, title: name, onclick: press }, sign);
  };
  return h("span", { class: "marks" }, button(true, "✓", "right"), button(false, "✗", "wrong"));
}
