"""A recording of the model replayed into another one, by the real sender of replays over sockets in memory."""

from __future__ import annotations

from typing import Any

import zmq

from embertrace.playback.sender import Sender
from embertrace.recording.layout import BEGIN, END
from embertrace.wire.batch import BATCH, GAP
from support.delivery_ledger import Ledger
from support.delivery_log import Log
from support.delivery_net import Dealer, Line, Push
from support.delivery_streams import ENDPOINT, Stream
from support.delivery_world import Figures, World


def replay_twice(log: Log, streams: dict[bytes, Stream]) -> int:
    """Replay all of `log` twice into a fresh recording, which must then say of every seq what `log` says.

    Returns how many events the second replay found there already.
    """
    target = World(0, 3000, Figures())
    target.ledger = Ledger(target.log, streams)
    _replay(log, target)
    target.ledger.settle()
    held = target.ledger.marks.copy()
    known = _replay(log, target)
    target.ledger.settle()
    assert target.ledger.marks == held
    assert not target.ledger.alive, "whoever was replayed has ended"
    return known


def _replay(log: Log, target: World) -> int:
    """As `playback.replay` does; how many seqs were there already."""
    known = 0
    ended: dict[bytes, None] = {}
    with _Sender(target) as sender:
        for record in log.records():
            if record.kind in (BATCH, GAP):
                payload = record.payload if record.kind == BATCH else None
                known += sender.send(record.producer, record.first_seq, record.count, payload)
            elif record.kind == END:
                ended[record.producer] = None
            elif record.kind == BEGIN:
                ended.pop(record.producer, None)
        for producer in sorted({*ended, *target.ledger.marks}):
            sender.end(producer)
        sender.finish()
    return known


class _Sender(Sender):
    def __init__(self, target: World) -> None:
        self._target = target
        self._line = Line(target.chance)
        target.lines.append(self._line)
        super().__init__(ENDPOINT)

    def _open(self, kind: int, address: str) -> Any:
        return _PolledDealer(self._line, self._target) if kind == zmq.DEALER else Push(self._line)


class _PolledDealer(Dealer):
    """Waiting for a message lets the aggregator go on."""

    def __init__(self, line: Line, target: World) -> None:
        super().__init__(line)
        self._target = target

    def poll(self, wait_ms: int) -> bool:
        if not self.line.inbox:
            self._target.round(0.02)
        return bool(self.line.inbox)
