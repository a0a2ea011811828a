"""Labels as events, on their way: into a recording on disk, or to an aggregator.

Rules:
- A recording has one writer. Where an aggregator is it, the labels are to go to that; here they are refused.
- In a recording they are one producer's stream, begun and ended: nobody takes them for one that was cut short. They are
  durable when `append` has ended, and none of them is there when it fails.
- An aggregator gets them as from any producer, and acknowledges them in parts that no spool is too small for.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from embertrace import collect, emit
from embertrace.client import Client
from embertrace.errors import AggregatorError, LockedError
from embertrace.event import DEFAULT_STAGE, METRIC
from embertrace.keys import ClientKey
from embertrace.labelling.rows import Row
from embertrace.metric import label_data
from embertrace.recording import BATCH, BEGIN, END, RecordingWriter
from embertrace.wire.batch import MAX_BATCH_BYTES, MAX_BATCH_EVENTS, PRODUCER_BYTES
from embertrace.wire.control import Hello, pack_control
from embertrace.wire.event import RawEvent, pack_event

LABELLING = "labelling"
"""The operator's id and type in the events of labels from a file."""
PART_BYTES = 256 * 1024
"""Sent before an acknowledgement is waited for: well below the smallest spool."""


def packed(labels: Iterable[Row], run: str | None, at_ns: int) -> Iterator[bytes]:
    """The events of labels, all at one time; their order is that of the stream."""
    for row in labels:
        data = collect.pack_data(label_data(row.key, row.truth, by=row.by, epoch=row.epoch, run=run))
        yield pack_event(
            RawEvent(
                METRIC, at_ns, None, 0, 0, 0, 0, 0, LABELLING, LABELLING, DEFAULT_STAGE, None, 0, 0, (), b"", data
            )
        )  # fmt: skip


@contextlib.contextmanager
def append(directory: Path, clock_ns: Callable[[], int]) -> Iterator[Callable[[Iterable[bytes]], None]]:
    """A function that appends events to the recording; nobody else writes it meanwhile.

    Raises LockedError where an aggregator writes it, RecordingError where it can't be written.
    """
    try:
        writer = RecordingWriter(directory, clock_ns=clock_ns)
    except LockedError as error:
        raise LockedError(
            f"{str(error).split(':')[0]}: label through it, `embertrace label tcp://HOST:PORT labels.csv` with its "
            "endpoint, or stop it"
        ) from None
    with writer:
        yield lambda events: _write(writer, events)


def _write(writer: RecordingWriter, events: Iterable[bytes]) -> None:
    producer = secrets.token_bytes(PRODUCER_BYTES)
    last = 0
    for batch in [*_batches(events, MAX_BATCH_BYTES, MAX_BATCH_EVENTS)]:  # all are made before the first is written
        if not last:
            about = Hello(producer, 1, 1, writer.id, platform.node()[:64], os.getpid(), LABELLING)
            writer.append(BEGIN, producer, 1, 0, pack_control(about))
        writer.append(BATCH, producer, last + 1, len(batch), b"".join(batch))
        last += len(batch)
    if last:
        writer.append(END, producer, last, 0, b"")
    writer.sync()


def send(endpoint: str, key: ClientKey | None, events: Iterable[bytes], timeout_s: float) -> None:
    """Emit to the aggregator. Raises AggregatorError where none answers, or one does not acknowledge in time."""
    with Client(endpoint, timeout_s=timeout_s, key=key) as client:
        client.locate()
    emitter = emit.emitter_for(endpoint, key)
    for batch in _batches(events, PART_BYTES, MAX_BATCH_EVENTS):
        for event in batch:
            emitter.put(event)
        if not emitter.flush(timeout_s):
            raise AggregatorError(
                f"the aggregator at {endpoint} did not acknowledge the labels within {timeout_s:g} s: those that were "
                "sent are held and delivered later (`embertrace doctor` says where); then label the file again"
            )


def _batches(events: Iterable[bytes], max_bytes: int, max_events: int) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for event in events:
        if batch and (size + len(event) > max_bytes or len(batch) >= max_events):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += len(event)
    if batch:
        yield batch
