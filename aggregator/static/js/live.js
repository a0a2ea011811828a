// Hears what arrives: server-sent events, read with fetch, since an EventSource can't show a token.
// `onNews` is called for new events, `onState` with "on", "off" (it tries again) or "token".

import { headers } from "./api.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10000;

export async function listen({ onNews, onState }) {
  let last = null;
  let wait = FIRST_WAIT_MS;
  for (;;) {
    try {
      const answer = await fetch("/v1/events/stream", {
        headers: { ...headers(), ...(last === null ? {} : { "Last-Event-ID": last }) },
        cache: "no-store",
      });
      if (answer.status === 401) return onState("token");
      if (!answer.ok) throw new Error(String(answer.status));
      onState("on");
      onNews(); // something may have come before this stream was open
      wait = FIRST_WAIT_MS;
      for await (const message of messages(answer.body)) {
        if (message.id) last = message.id;
        if (message.event === "events") onNews();
      }
    } catch {
      // it is said below, whatever it was
    }
    onState("off");
    await new Promise((resume) => setTimeout(resume, wait));
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }
}

// The messages of a stream: {event, id}. Data is not looked at: what changed is asked for.
async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let line = "";
  let message = {};
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (line + value).split("\n");
    line = lines.pop();
    for (const text of lines) {
      if (text === "" || text === "\r") {
        yield message;
        message = {};
      } else if (text.startsWith("event:")) message.event = text.slice(6).trim();
      else if (text.startsWith("id:")) message.id = text.slice(3).trim();
    }
    if (line.length > 1 << 20) line = line.slice(0, 64); // a long line of data, which nobody needs
  }
}
