// Elements from plain calls. Text becomes text: nothing here, and nothing that uses it, parses markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// h("td", {class: "number"}, "12"): an element of HTML. Functions under "on…" become listeners.
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// The same, of SVG.
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// Put these, and nothing else, into an element. Those that are nothing are left out.
export function put(element, ...children) {
  element.replaceChildren();
  return fill(element, null, children);
}

// What a click or Enter on `element` does. Clicks on links and buttons inside it are theirs.
export function opens(element, open) {
  element.addEventListener("click", (event) => {
    if (!event.target.closest("a, button, input, select") && !String(getSelection())) open();
  });
  return element;
}
