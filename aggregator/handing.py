"""Events of readers on their way from the process that answers to the one that records, through a pipe.

Rules:
- The analyst never writes the recording. It hands over batches of a producer of its own, and learns that they are
  durable as it learns of all others: by following the recording. Only then is the reader answered.
- Each batch is a life of its own: begun, one event, ended. So nobody waits for what an analyst that was killed might
  have sent, and the recording has one producer for each analyst, however much it hands over.
- So much waits at most. What a crash cuts off is neither recorded nor answered.
"""

from __future__ import annotations

import base64
import binascii
import os
import platform
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from embertrace.errors import QueryError, WireError
from embertrace.recording import BATCH, Damage, Record
from embertrace.wire.batch import PRODUCER_BYTES, Batch, pack_batch, unpack_batch
from embertrace.wire.control import Control, End, Hello
from embertrace.wire.event import RawEvent, pack_event

MAX_WAITING = 64
MAX_LINE = 64 * 1024
"""Of what is handed over at once: several times the largest label."""
READ_BYTES = 64 * 1024
LIBRARY = "labelling"
"""What the producer says it is, as those of labels from a file."""

Answer = Future[dict[str, Any]]


class NobodyRecords(QueryError):
    """The recording is only read here."""


class TooMany(Exception):
    """Too much waits to be recorded."""


class Handing:
    """The analyst's end. `pipe` is where to write; None where nobody records. Belongs to the analyst's loop."""

    def __init__(self, pipe: int | None) -> None:
        self._pipe = pipe
        self._producer = secrets.token_bytes(PRODUCER_BYTES)
        self._seq = 0
        self._unsent = bytearray()
        self._waiting: dict[int, Answer] = {}
        if pipe is not None:
            os.set_blocking(pipe, False)

    def check(self) -> None:
        """Raises NobodyRecords, or TooMany, where nothing can be handed over."""
        if self._pipe is None:
            raise NobodyRecords("this recording is only read here: `embertrace label RECORDING labels.csv` labels it")
        if len(self._waiting) >= MAX_WAITING:
            raise TooMany(f"{MAX_WAITING} labels wait to be recorded")

    @property
    def waits(self) -> bool:
        """Whether something that was handed over is not durable yet, as far as was seen."""
        return bool(self._waiting)

    def give(self, event: RawEvent) -> Answer:
        """Hand it over; {producer, seq, position} comes once it is durable. Raises as `check`."""
        self.check()
        self._seq += 1
        batch = pack_batch(BATCH, self._producer, self._seq, 1, pack_event(event))
        self._unsent += b"\n" + base64.b64encode(batch) + b"\n"  # a line of its own, whatever was written before
        answer: Answer = Future()
        self._waiting[self._seq] = answer
        self.send()
        return answer

    def send(self) -> None:
        """Write what the pipe takes; the rest waits for the next time."""
        if self._unsent and self._pipe is not None:
            try:
                del self._unsent[: os.write(self._pipe, self._unsent)]
            except (BlockingIOError, BrokenPipeError):
                pass

    def see(self, followed: Iterable[Record | Damage]) -> None:
        """What is durable, and was taken in: who waits for it is answered."""
        for item in followed:
            if isinstance(item, Record) and item.kind == BATCH and item.producer == self._producer:
                answer = self._waiting.pop(item.first_seq, None)
                if answer is not None:
                    where = {"producer": item.producer.hex(), "seq": item.first_seq, "position": item.end}
                    answer.set_result(where)


class Handed:
    """The ingest's end of one pipe that outlives the analysts."""

    def __init__(self, recording: str) -> None:
        self._recording = recording
        self.wanted, self.given = os.pipe()
        """Where to read, and what an analyst gets to write to."""
        os.set_blocking(self.wanted, False)
        self._rest = b""

    def take(self) -> Iterator[Batch]:
        """The batches that came. Bytes that are none are passed over: an analyst was killed while it wrote."""
        try:
            heard = os.read(self.wanted, READ_BYTES)
        except BlockingIOError:
            return
        *lines, rest = (self._rest + heard).split(b"\n")
        self._rest = rest if len(rest) <= MAX_LINE else b""
        for line in filter(None, lines):
            try:
                yield unpack_batch(base64.b64decode(line, validate=True))
            except (binascii.Error, WireError):
                continue

    def life_around(self, batch: Batch) -> tuple[Control, Control]:
        """What its producer says before and after a batch."""
        first, who = batch.first_seq, (platform.node()[:64], os.getpid(), LIBRARY)
        return Hello(batch.producer, first, first, self._recording, *who), End(batch.producer, batch.last_seq)

    def close(self) -> None:
        os.close(self.wanted)
        os.close(self.given)
