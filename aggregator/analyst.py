"""The query process: follows the recording as an offline analysis reads it, and answers questions meanwhile.

`python -m aggregator.analyst ORDERS` (JSON, see child), started and restarted by the server. It prints where it
listens, one line of JSON; it ends when its standard input does. It only ever reads, and only what is durable: what
readers say of items it hands over to be recorded (see handing), and so reads again. It looks for what is new now and
then, and whenever it is asked.

One loop owns the forest. Questions come by two doors, RPC and HTTP, and are answered in it, between two portions of
what is new; so no question sees half an event, and none needs a lock. A question waits until all is taken in that was
durable when it was seen; not for what goes on coming meanwhile, which might never end.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zmq

from aggregator.api import State, call
from aggregator.child import MEMORY, Listening, Orders
from aggregator.gate import Gate
from aggregator.gauges import read_gauges
from aggregator.handing import Handing
from aggregator.ingest import bind
from aggregator.labels import event_of
from aggregator.rpc import Door
from aggregator.web.door import HttpDoor, open_http
from aggregator.web.jobs import LABEL
from embertrace.analysis.patterns import bound_patterns
from embertrace.keys import ServerKey
from embertrace.recording import Follower, Recording

TAKE_OVER_S = 8.0
"""An analyst that takes in a large recording looks for the end of its input between two portions only."""
TRY_AGAIN_S = 0.1
LOOK_MS, SOON_MS = 250, 20
"""How often it looks for new events, and how often while many come, somebody asks, or a label is to be seen. A question
has it look at once; so this is only how much there may be to read then, and each look costs a wake-up."""
MANY_BYTES = 256 * 1024
"""Of what a look found: read in about a millisecond."""
ASKED_S = 1.0
"""Who asked so lately may well ask again: what comes meanwhile is read before, not while he waits."""
GAUGES_S = 1.0
"""How often it says how it fares."""
INPUT_BYTES = 65536
STDIN = 0


def main(orders: Orders) -> int:
    """Follow and answer until standard input ends."""
    bound_patterns()
    keys = Path(orders.keys) if orders.keys is not None else None
    context = zmq.Context()
    gate = Gate(context, keys)
    door = Door(context, ServerKey.read(keys) if keys is not None else None)
    http: HttpDoor | None = None
    try:
        rpc_port = take_over(door, orders.host, orders.rpc_port)
        http = open_http(orders)
        told = Listening(rpc_port, http.port if http is not None else None)
        sys.stdout.write(f"{told.to_json()}\n")
        sys.stdout.flush()
        Loop(orders.directory, door, http, Handing(orders.labels), orders.memory).run()
    finally:
        if http is not None:
            http.close()
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


class Loop:
    """Take in what is new, answer what was asked; again and again."""

    def __init__(
        self, directory: str, door: Door, http: HttpDoor | None, handing: Handing, memory: int = MEMORY
    ) -> None:
        recording = Recording.open(directory)
        self._follower, self._state = Follower(recording), State(recording, memory)
        self._door, self._http, self._handing = door, http, handing
        self._damages = 0
        self._gauges_at = 0.0
        self._asked_at = float("-inf")
        self._look_ms = LOOK_MS
        self._looked = False
        """Whether what was recorded before this process began was looked at, so that who comes next need not wait."""
        self._wanted: int | None = None
        """Up to which position there must be everything before what was asked is answered; None where nothing was."""
        self._poller = zmq.Poller()
        self._poller.register(door.socket, zmq.POLLIN)
        self._poller.register(STDIN, zmq.POLLIN | zmq.POLLERR)
        if http is not None:
            self._poller.register(http.wanted, zmq.POLLIN)

    def run(self) -> None:
        """Until standard input ends."""
        behind = True
        while True:
            ready = dict(self._poller.poll(0 if behind else self._look_ms))
            if STDIN in ready and not self._hear():
                return
            rpc, http = self._door.socket in ready, self._http is not None and self._http.wanted in ready
            if (rpc or http) and self._wanted is None:
                self._wanted, self._asked_at = self._state.recording.synced(), time.monotonic()
            behind = self._take_in()
            if not behind or self._follower.position >= (self._wanted or 0):
                self._wanted = None
            if rpc and self._wanted is None:
                self._door.serve(self._state)
            if self._http is not None and http:
                self._serve_http(self._http)
            self._handing.send()
            self._say_how_it_fares()
            if not (behind or rpc or http or self._looked):
                self._looked = True
                self._state.look()

    def _hear(self) -> bool:
        """What the ingest says of itself: the last line counts. False at the end of the input."""
        heard = os.read(STDIN, INPUT_BYTES)
        lines = [line for line in heard.split(b"\n") if line.startswith(b"{") and line.endswith(b"}")]
        if lines:
            self._state.ingest = json.loads(lines[-1])
        return bool(heard)

    def _take_in(self) -> bool:
        """One portion of what is new; whether there is more."""
        follower, state = self._follower, self._state
        start = follower.position
        records = follower.poll()
        state.extend(records, follower.position)
        self._handing.see(records)
        state.extend(follower.damages[self._damages :], follower.position)
        self._damages = len(follower.damages)
        state.forest.removed_segments = follower.removed_segments
        is_asked = self._handing.waits or time.monotonic() - self._asked_at < ASKED_S
        self._look_ms = SOON_MS if is_asked or follower.position - start >= MANY_BYTES else LOOK_MS
        return bool(records) and follower.position < state.recording.synced()

    def _serve_http(self, http: HttpDoor) -> None:
        if not http.running:
            self._poller.unregister(http.wanted)
            http.start(self._state.recording)
            self._poller.register(http.wanted, zmq.POLLIN)
        elif self._wanted is None:
            http.jobs.serve(self._answer)

    def _answer(self, method: str, params: Mapping[str, Any]) -> Any:
        """What HTTP asks; a label is answered once it is durable."""
        if method != LABEL:
            return call(self._state, method, params)
        self._handing.check()
        return self._handing.give(event_of(self._state.parts, params, time.time_ns()))

    def _say_how_it_fares(self) -> None:
        now = time.monotonic()
        if self._http is not None and self._http.running and now >= self._gauges_at:
            self._gauges_at = now + GAUGES_S
            self._http.gauges = read_gauges(self._state, now)


if __name__ == "__main__":
    sys.exit(main(Orders(**json.loads(sys.argv[1]))))
