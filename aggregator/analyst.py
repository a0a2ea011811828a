"""The query process: follows the recording as an offline analysis reads it, and answers questions meanwhile.

`python -m aggregator.analyst DIRECTORY HOST PORT [KEYS]`, started and restarted by the server. It prints its port, one
line of JSON, when it listens; it ends when its standard input does. It only ever reads, and only what is durable.
"""

from __future__ import annotations

import errno
import json
import sys
import time
from pathlib import Path

import zmq

from aggregator.api import State
from aggregator.gate import Gate
from aggregator.ingest import bind
from aggregator.rpc import Door
from embertrace.keys import ServerKey
from embertrace.recording import Follower, Recording

TAKE_OVER_S = 8.0
"""An analyst that takes in a large recording looks for the end of its input between two portions only."""
TRY_AGAIN_S = 0.1
POLL_MS = 20
"""How often it looks for new events: what was emitted is visible well within a person's patience, at 0.1% of a core."""


def main(directory: str, host: str, port: int, keys: Path | None = None) -> int:
    """Follow and answer until standard input ends."""
    context = zmq.Context()
    gate = Gate(context, keys)
    door = Door(context, ServerKey.read(keys) if keys is not None else None)
    try:
        bound = take_over(door, host, port)
        sys.stdout.write(json.dumps({"rpc_port": bound}) + "\n")
        sys.stdout.flush()
        follow(directory, door)
    finally:
        door.socket.close()
        gate.close()
        context.destroy(linger=0)
    return 0


def take_over(door: Door, host: str, port: int) -> int:
    """Bind, as soon as the analyst of an aggregator that was killed has noticed that, and let go of the port."""
    deadline = time.monotonic() + TAKE_OVER_S
    while True:
        try:
            return bind(door.socket, host, port)
        except zmq.ZMQError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise
        time.sleep(TRY_AGAIN_S)


def follow(directory: str, door: Door) -> None:
    """The loop: take in what is new, answer what was asked."""
    recording = Recording.open(directory)
    follower, state = Follower(recording), State(recording)
    poller = zmq.Poller()
    poller.register(door.socket, zmq.POLLIN)
    poller.register(sys.stdin.fileno(), zmq.POLLIN | zmq.POLLERR)
    behind = True
    damages = 0
    while True:
        ready = dict(poller.poll(0 if behind else POLL_MS))
        if sys.stdin.fileno() in ready:
            return
        records = follower.poll()
        behind = bool(records)
        state.extend(records, follower.position)
        state.extend(follower.damages[damages:], follower.position)
        damages = len(follower.damages)
        state.forest.removed_segments = follower.removed_segments
        if door.socket in ready and not behind:
            door.serve(state)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]) if len(sys.argv) > 4 else None))
