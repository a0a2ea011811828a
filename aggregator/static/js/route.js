// Where a person is: a view and its parameters, all of it in the address, so that it can be shared and gone back to.

export const FILTERS = ["run", "stage", "operator", "type"];

export function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { view: path || "overview", params: Object.fromEntries(new URLSearchParams(query ?? "")) };
}

// The address of a view. Filters stay unless they are given anew; other parameters don't.
export function link(view, params = {}) {
  const now = route().params;
  const kept = Object.fromEntries(FILTERS.filter((name) => now[name]).map((name) => [name, now[name]]));
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...kept, ...params })) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return text ? `#/${view}?${text}` : `#/${view}`;
}

// The address of the view at hand with some parameters changed.
export function here(params) {
  const { view, params: now } = route();
  return link(view, { ...now, ...params });
}

export function go(view, params) {
  location.hash = link(view, params);
}

// Change some parameters of the view at hand.
export function change(params) {
  location.hash = here(params);
}

// A key as it stands in an address: text as it is, everything else as JSON.
export function asText(key) {
  return typeof key === "string" ? key : JSON.stringify(key);
}
