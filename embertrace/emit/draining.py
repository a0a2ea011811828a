"""drain(): deliver what dead processes left in a spool directory, all of it, to wherever it was meant to go.

For the end of a machine's or container's life, when no process is left that would adopt it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from embertrace.emit import spool_directory
from embertrace.emit.adoption import deliver
from embertrace.emit.sockets import Sockets
from embertrace.emit.spool_directory import Meta
from embertrace.errors import ConfigError
from embertrace.keys import ClientKey


@dataclasses.dataclass(frozen=True, slots=True)
class Drained:
    """What became of one stream. `left` says why it is still there; None where it was delivered and deleted."""

    producer: str
    endpoint: str | None
    recording: str | None
    events: int
    left: str | None

    def __str__(self) -> str:
        to = self.endpoint or "an unknown endpoint"
        return f"{self.producer}  {self.events} events to {to}: {self.left or 'delivered'}"


@dataclasses.dataclass(frozen=True, slots=True)
class DrainReport:
    """What became of every stream in a directory."""

    directory: str
    streams: tuple[Drained, ...]

    @property
    def left(self) -> int:
        """Streams that are still there."""
        return sum(stream.left is not None for stream in self.streams)

    def to_data(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        events = sum(stream.events for stream in self.streams if stream.left is None)
        head = (
            f"{self.directory}: {len(self.streams) - self.left} streams ({events} events) delivered, {self.left} left"
        )
        return "\n".join([head, *(f"  {stream}" for stream in self.streams)])


def drain(
    directory: Path | str,
    *,
    to: str | None = None,
    key: ClientKey | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DrainReport:
    """Deliver every stream in `directory` whose process has died, one after the other; blocks until that is done.

    Each goes to its own endpoint, if `key` is the one that is wanted there; or to the aggregator at `to`, if that
    writes its recording, under whatever key. A stream that gets no answer for 10 seconds is left.
    `progress(done, of)` counts streams. A directory that is empty, or not there, gives an empty report. Raises
    ConfigError for a bad endpoint, or where `directory` is a file.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"{directory} is no directory; `embertrace drain` wants one that holds spools")
    paths = sorted(spool_directory.streams(directory))
    drained = []
    with zmq.Context() as context:
        for done, path in enumerate(paths):
            if progress is not None:
                progress(done, len(paths))
            drained.append(_drain_one(path, to, Sockets(context, key)))
    if progress is not None:
        progress(len(paths), len(paths))
    return DrainReport(str(directory), tuple(drained))


def _drain_one(path: Path, to: str | None, sockets: Sockets) -> Drained:
    meta = Meta.read(path)
    claim = spool_directory.claim(path)
    endpoint, recording = (meta.endpoint, meta.recording) if meta is not None else (None, None)
    target = to or endpoint
    if claim is None:
        return Drained(path.name, target, recording, 0, "its process lives, or somebody else delivers it")
    if target is None:
        claim.release()
        return Drained(path.name, None, None, 0, "where it was to go can't be read; name an aggregator with --to")
    if to is None and meta is not None and meta.key != sockets.key_name:
        claim.release()
        wanted = f"its aggregator wants key {meta.key!r}: name its file by EMBERTRACE_KEY"
        return Drained(path.name, target, recording, 0, wanted if meta.key is not None else "it goes without a key")
    adoption = deliver(claim, target, recording, sockets)
    return Drained(path.name, target, recording, adoption.events, adoption.failure)
