// Numbers, times and values as people read them. Nothing here throws, whatever an operator returned.

const MINUS = "−";

export const NONE = "–";

export function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const text = Math.abs(value) >= 1000 ? value.toLocaleString("en", { maximumFractionDigits: 1 }) : value.toFixed(digits);
  return text.replace("-", MINUS);
}

export function percent(value, digits = 1) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  return `${(100 * value).toFixed(digits)}%`.replace("-", MINUS);
}

export function signed(value, digits = 1) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  return `${value > 0 ? "+" : ""}${percent(value, digits)}`;
}

export function seconds(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 1e-6) return `${(value * 1e9).toFixed(0)} ns`;
  if (size < 1e-5) return `${(value * 1e6).toFixed(1)} µs`;
  if (size < 1e-3) return `${(value * 1e6).toFixed(0)} µs`;
  if (size < 1) return `${(value * 1e3).toFixed(size < 0.01 ? 2 : 1)} ms`;
  if (size < 120) return `${value.toFixed(2)} s`;
  return size < 7200 ? `${(value / 60).toFixed(1)} min` : `${(value / 3600).toFixed(1)} h`;
}

// An amount of money; small ones to two digits that say something.
export function dollars(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  const digits = value && Math.abs(value) < 0.1 ? Math.min(9, 1 - Math.floor(Math.log10(Math.abs(value)))) : 2;
  return `$${value.toFixed(digits)}`.replace("$-", `${MINUS}$`);
}

// Names as people order them: rater-2 before rater-10.
export function inOrder(one, other) {
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let place = 0;
  while (value >= 1000 && place < units.length - 1) [value, place] = [value / 1000, place + 1];
  return `${place && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[place]}`;
}

// A time of day to the millisecond: for what is over in seconds.
export function instant(unix) {
  const time = new Date(unix * 1000);
  return Number.isNaN(time.getTime()) ? NONE : `${time.toLocaleTimeString("en-GB")}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

// A time of day, with its date where that is not today's.
export function when(unix) {
  if (unix === null || unix === undefined) return NONE;
  const time = new Date(unix * 1000);
  if (Number.isNaN(time.getTime())) return NONE;
  const clock = time.toLocaleTimeString("en-GB");
  return time.toDateString() === new Date().toDateString() ? clock : `${time.toLocaleDateString("en-CA")} ${clock}`;
}

// A value in one line: control characters and line breaks as spaces, cut where it is long.
export function short(value, most = 80) {
  if (value === null || value === undefined) return NONE;
  const text = (typeof value === "string" ? value : JSON.stringify(value)).slice(0, most * 4);
  const line = printable(text).replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

// A value in full, for a block of its own.
export function full(value, most = 200000) {
  const text = printable(typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? NONE));
  return text.length > most ? `${text.slice(0, most)}\n… ${text.length - most} more characters` : text;
}

// Control characters, and those that turn the direction of what follows, as a sign that stands for them.
function printable(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}
