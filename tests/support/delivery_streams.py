"""The senders: processes that emit, what they leave behind, and those who adopt it. The real machines, in memory.

A stream's files outlive its process, torn at any byte of what it was writing; its oracle knows what its emits returned.
"""

from __future__ import annotations

import io
import mmap
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import msgpack

from embertrace.emit.adoption import Adoption
from embertrace.emit.extent import HEAD_BYTES, scan
from embertrace.emit.producer import Action, Connect, Producer, Push, Say
from embertrace.emit.sockets import receive_now, send_now
from embertrace.emit.spool import Spool
from embertrace.emit.storage import Room, extent_bytes_for
from embertrace.wire.control import pack_control, unpack_control
from support import delivery_net as net

ENDPOINT = "tcp://127.0.0.1:5557"


class Stream:
    """One producer's stream: its directory, its owner, and what is known of every seq."""

    def __init__(self, number: int) -> None:
        self.id = b"producer %07d" % number
        self.files: dict[int, File] = {}
        self.owner: Process | Adopter | None = None
        self.ended = False
        """Nobody will ever send more of it: delivered and deleted."""
        self.recording: str | None = None
        self.events: dict[int, bytes] = {}
        """What `take` returned True for."""
        self.dropped: set[int] = set()
        self.unsure: dict[int, bytes | None] = {}
        """What a process died over: an event, or (None) a drop. It may be there, or never have been."""
        self.before_deletion: Callable[[Stream, bytes], None] = lambda stream, content: None
        self.after_end: Callable[[Stream], None] = lambda stream: None

    @property
    def is_orphan(self) -> bool:
        return self.owner is None and not self.ended

    def event(self, seq: int, size: int) -> bytes:
        return msgpack.packb(b"%s %d %s" % (self.id, seq, bytes(size)))


class File:
    """An extent's file. Looks like a path to who reads it."""

    def __init__(self, stream: Stream, number: int, size: int) -> None:
        self.content = mmap.mmap(-1, size)
        self._stream = stream
        self._number = number
        stream.files[number] = self

    def open(self, mode: str) -> io.BytesIO:
        assert mode == "rb"
        return io.BytesIO(self.content[:])

    def unlink(self, missing_ok: bool = False) -> None:
        if self._stream.files.pop(self._number, None) is not None:
            self._stream.before_deletion(self._stream, bytes(self.content))


class Extents:
    """The storage of a process's spool: files that outlive it."""

    def __init__(self, stream: Stream, capacity: int) -> None:
        self.extent_bytes = extent_bytes_for(capacity)
        self._stream = stream
        self._capacity = capacity
        self._made = 0

    @property
    def has_room(self) -> bool:
        return (len(self._stream.files) + 1) * self.extent_bytes <= self._capacity

    def allocate(self) -> Room | None:
        if not self.has_room:
            return None
        self._made += 1
        return _Mapped(File(self._stream, self._made, self.extent_bytes))


class _Mapped:
    def __init__(self, file: File) -> None:
        self.buffer = file.content
        self.free = file.unlink


class Process:
    """A process that emits: its spool, its sender's machine, and its connection."""

    def __init__(self, stream: Stream, capacity: int, now: float, chance: random.Random, heartbeat_s: int = 8) -> None:
        self.stream = stream
        self.line = net.Line(chance)
        self.dealer: Any = net.Dealer(self.line)
        self.spool = Spool(Extents(stream, capacity), stream.id)
        self.machine = Producer(stream.id, self.spool, now, heartbeat_s=heartbeat_s)
        self.ending = False
        self.capacity = capacity
        self._push: Any = None
        stream.owner = self

    def emit(self, size: int) -> None:
        stream, seq, dropped = self.stream, self.spool.next, self.spool.dropped
        packed = stream.event(seq, size)
        assert self.spool.append(packed) == seq
        if self.spool.dropped > dropped:
            stream.dropped.add(seq)
        else:
            stream.events[seq] = packed

    def step(self, now: float) -> None:
        """One round of its sender."""
        while (packed := receive_now(self.dealer)) is not None:
            self.perform(self.machine.receive(unpack_control(packed), now))
        self.spool.prepare()
        if self.ending:
            self.machine.end()
        self.perform(self.machine.tick(now))

    def perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Push):
                send_now(self._push, action.message)
            elif isinstance(action, Say):
                send_now(self.dealer, pack_control(action.message))
            elif isinstance(action, Connect):
                if self._push is not None:
                    self._push.close()
                self._push = net.Push(self.line)
        self.stream.recording = self.machine.recording

    def leave(self) -> None:
        """Exit in good order: delete what is delivered, leave the rest to others."""
        is_delivered = not self.machine.owes
        self.spool.shut()
        if is_delivered:
            delete(self.stream)
        self.die()

    def die(self) -> None:
        """Between two instructions."""
        if not any(
            scan(bytes(file.content)) for file in self.stream.files.values()
        ):  # nothing was written down of them
            self.stream.unsure |= dict.fromkeys(self.stream.dropped)
            self.stream.dropped.clear()
        self.stream.owner = None

    def die_emitting(self, size: int, part: float) -> None:
        """While the event is written: only the first `part` of the bytes, in the order of writing, is there."""
        before = {number: bytes(file.content) for number, file in self.stream.files.items()}
        seq, dropped = self.spool.next, self.spool.dropped
        packed = self.stream.event(seq, size)
        self.spool.append(packed)
        is_dropped = self.spool.dropped > dropped
        for number, file in self.stream.files.items():
            old = before.get(number, bytes(len(file.content)))
            at = file.content.find(packed, 0) - HEAD_BYTES if not is_dropped else -1
            changed = [place for place in range(len(old)) if old[place] != file.content[place]]
            changed.sort(key=lambda place: (at <= place < at + 4, place))
            for place in changed[int(part * (len(changed) + 1)) :]:
                file.content[place] = old[place]
        self.stream.unsure[seq] = None if is_dropped else packed
        self.die()


class Adopter:
    """A living process that adopts a stream: the real adoption, over sockets in memory."""

    def __init__(self, stream: Stream, recording: str | None, now: float, chance: random.Random) -> None:
        self.stream = stream
        self.line = net.Line(chance)
        claim: Any = Claim(stream)
        sockets: Any = net.Sockets(self.line)
        self.adoption = Adoption(claim, ENDPOINT, recording, sockets, now)
        stream.owner = self

    def step(self, now: float) -> None:
        if self.adoption.step(now):
            if self.adoption.failure is None and self.adoption.events:  # where nothing was left, silence tells the end
                self.stream.after_end(self.stream)
            self.adoption.close()
            self.stream.owner = None

    def die(self) -> None:
        self.stream.owner = None


class Claim:
    """What an adopter holds of a stream."""

    def __init__(self, stream: Stream) -> None:
        self.producer = stream.id
        self.path = Path(stream.id.hex())
        self._stream = stream

    def extents(self) -> list[Path]:
        return [cast(Path, file) for file in self._stream.files.values()]

    def delete(self) -> None:
        delete(self._stream)

    def release(self) -> None:
        self._stream.owner = None


def delete(stream: Stream) -> None:
    """Remove the directory."""
    stream.ended = True
    for file in list(stream.files.values()):
        file.unlink()
