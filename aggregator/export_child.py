"""The exporter's process, from outside: started where `--otlp` names a receiver, restarted, heard, stopped.

It follows the recording on its own (see exporter), so nothing that a receiver does holds up the ingest or a question.
Once a second it prints a line of JSON: what it counted, by names that begin with "otlp_".
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping

from aggregator.child import Child

LINE_BYTES = 65536


@dataclasses.dataclass(frozen=True, slots=True)
class ExportOrders:
    """What an exporter is to do. It begins at position `start` of the recording, or where an earlier one left off."""

    directory: str
    url: str
    phoenix: bool = False
    start: int = 0

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


class Exporter(Child):
    """The process. `counters` is what it last said, added to what those before it counted; empty before that."""

    module, name = "aggregator.exporter", "OTLP exporter"

    def __init__(self, orders: ExportOrders) -> None:
        super().__init__()
        self._orders = orders
        self._before: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._heard = b""

    @property
    def argument(self) -> str:
        return self._orders.to_json()

    def start(self) -> None:
        """Start it, and wait for nothing."""
        process = self._spawn()
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)

    def supervise(self) -> None:
        """Hear what it says, and restart it if it died."""
        self._hear()
        if self.restart_if_dead(time.monotonic()):
            assert self._process is not None and self._process.stdout is not None
            os.set_blocking(self._process.stdout.fileno(), False)
            self._before = {name: count for name, count in self.counters.items() if name not in GAUGES}
            self._last, self._heard = {}, b""

    @property
    def counters(self) -> Mapping[str, int]:
        return {name: self._before.get(name, 0) + self._last.get(name, 0) for name in {**self._before, **self._last}}

    def _hear(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        try:
            self._heard += os.read(self._process.stdout.fileno(), LINE_BYTES)
        except BlockingIOError:
            return
        *lines, self._heard = self._heard.split(b"\n")
        if lines:
            self._last = json.loads(lines[-1])


GAUGES = ("otlp_waiting", "otlp_behind_bytes", "otlp_failing")
"""Names that say how it is now; all others count."""
