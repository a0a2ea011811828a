// Asks the aggregator. Every failure is an Error with a sentence for people, and `code`.

const KEY = "embertrace-token";

export class Failure extends Error {
  constructor(sentence, code) {
    super(sentence);
    this.code = code;
  }
}

// A token in the address is kept for this tab, and taken out of the address.
export function takeToken() {
  const found = location.hash.match(/^#token=(.+)$/);
  if (!found) return;
  keepToken(decodeURIComponent(found[1]));
  history.replaceState(null, "", location.pathname);
}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token.trim());
}

export function headers() {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

export function address(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "" && value !== false) query.append(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

export function get(path, params, signal) {
  return ask(address(path, params), { headers: headers(), signal });
}

export function post(path, value) {
  return ask(path, { method: "POST", headers: { ...headers(), "Content-Type": "application/json" }, body: JSON.stringify(value) });
}

async function ask(address, request) {
  let answer;
  try {
    answer = await fetch(address, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The aggregator does not answer.", "unreachable");
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Failure(body?.error ?? `The aggregator answered ${answer.status}.`, body?.code ?? "http");
  if (body === null) throw new Failure("The answer is no JSON.", "format");
  return body;
}

// The rows of a table result as an object.
export function table(result) {
  return Object.fromEntries(result.rows);
}
