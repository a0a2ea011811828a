"""The export process: follows the recording, and sends spans to an OTLP receiver as traces come to rest.

`python -m aggregator.exporter ORDERS` (JSON, see export_child), started and restarted by the server. It ends when its
standard input does, having sent what can be sent at once.

Rules:
- It only reads what is durable. Nothing waits for it: a receiver that is down or slow leaves the recording to wait.
- While requests wait it reads on for no more than AHEAD_EVENTS: it does not grow with an outage.
- Its cursor moves only when nothing waits; so what was not taken is sent by the next one.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import time
from pathlib import Path

from aggregator.cursor import Cursor, read_cursor, write_cursor
from aggregator.export_child import ExportOrders
from embertrace.errors import RecordingError
from embertrace.interop.live.export import LiveExport
from embertrace.interop.live.messages import Messages
from embertrace.interop.live.outbox import Outbox
from embertrace.interop.otlp_http import HEADERS_VARIABLE, headers_of
from embertrace.recording import Follower, Recording

log = logging.getLogger("aggregator")

POLL_S = 0.2
"""How often it looks for new events; a trace is due a second after it came to rest."""
PORTION_BYTES = 1024 * 1024
"""Read at a time: less than a tenth of a second's decoding, so that the end of its input is noticed."""
AHEAD_EVENTS = 50_000
TELL_S = 1.0
SAVE_S = 2.0
LAST_S = 3.0
"""For what is left when it is told to stop; the server waits for five seconds."""
TIMEOUT_S = 10.0
STDIN = 0


class Loop:
    """Read, send, say how it goes; again and again."""

    def __init__(self, orders: ExportOrders) -> None:
        self._orders, self._directory = orders, Path(orders.directory)
        self._recording = Recording.open(orders.directory)
        kept = read_cursor(self._directory, orders.url)
        if kept is None or kept.position > self._recording.synced():
            kept = Cursor(orders.start, [])
        self._follower = Follower(self._recording, kept.position)
        self._export, self._outbox = LiveExport(kept.runs), Outbox()
        headers = headers_of(os.environ.get(HEADERS_VARIABLE, ""))
        self._messages = Messages(orders.url, phoenix=orders.phoenix, headers=headers, timeout_s=TIMEOUT_S)
        self._saved = kept
        self._save_at = self._tell_at = 0.0
        self._trouble = ""
        os.set_blocking(sys.stdout.fileno(), False)

    def run(self) -> None:
        """Until standard input ends."""
        behind = True
        while not self._is_told_to_stop(0.0 if behind else self._pause_s()):
            behind = self._take_in()
            self._fill()
            self._outbox.step(time.monotonic())
            self._report()
        self._finish()

    def _pause_s(self) -> float:
        due = self._outbox.due_s(time.monotonic())
        return POLL_S if due is None else min(POLL_S, due)

    def _is_told_to_stop(self, wait_s: float) -> bool:
        ready, _, _ = select.select([STDIN], [], [], wait_s)
        return bool(ready) and not os.read(STDIN, 4096)

    def _take_in(self) -> bool:
        """Something of what is new; whether there was any."""
        if self._outbox and self._export.traces.events >= AHEAD_EVENTS:
            return False
        records = self._follower.poll(PORTION_BYTES)
        now = time.monotonic()
        for record in records:
            self._export.take(record, now)
        return bool(records)

    def _fill(self, *, everything: bool = False) -> bool:
        """Put what is due into an empty outbox; whether anything was."""
        if self._outbox:
            return False
        portion = self._export.portion(time.monotonic(), everything=everything)
        if portion is not None:
            self._outbox.put(list(self._messages.of(portion)))
        return portion is not None

    def _report(self) -> None:
        now = time.monotonic()
        if self._outbox.trouble != self._trouble:
            self._trouble = self._outbox.trouble
            log.warning("OTLP export: %s", self._trouble) if self._trouble else log.info("OTLP export goes on")
        if now >= self._save_at:
            self._save_at = now + SAVE_S
            self._save()
        if now >= self._tell_at:
            self._tell_at = now + TELL_S
            self._tell()

    def _save(self) -> None:
        if self._outbox:
            return
        reached = Cursor(self._export.traces.position(self._follower.position), self._export.kept)
        if reached == self._saved:
            return
        try:
            write_cursor(self._directory, self._orders.url, reached)
            self._saved = reached
        except OSError:  # a full disk: the ingest says so
            pass

    def _tell(self) -> None:
        counts, traces = self._outbox.counts, self._export.traces
        told = {
            "otlp_spans": counts.spans,
            "otlp_evaluations": counts.evaluations,
            "otlp_refused": counts.refused,
            "otlp_given_up": counts.given_up,
            "otlp_requests": counts.requests,
            "otlp_retries": counts.retries,
            "otlp_unfinished": traces.unfinished,
            "otlp_waiting": len(self._outbox),
            "otlp_failing": int(self._outbox.is_failing),
            "otlp_behind_bytes": max(0, self._recording.synced() - self._follower.position),
        }
        try:
            os.write(sys.stdout.fileno(), json.dumps(told).encode() + b"\n")
        except (BlockingIOError, BrokenPipeError):  # whoever listens hears of it next time
            pass

    def _finish(self) -> None:
        """Send what is there, as far as it is taken at once."""
        deadline = time.monotonic() + LAST_S
        while time.monotonic() < deadline and not self._outbox.is_failing:
            came = self._take_in()
            if not (self._fill(everything=not came) or came or self._outbox):
                break
            self._outbox.step(time.monotonic())
        self._save()
        self._tell()


def main(orders: ExportOrders) -> int:
    """Follow and send until standard input ends."""
    logging.basicConfig(level=logging.INFO, format="aggregator: %(message)s", stream=sys.stderr)
    try:
        Loop(orders).run()
    except RecordingError as error:
        log.error("OTLP export: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(ExportOrders(**json.loads(sys.argv[1]))))
