"""The client: questions to an aggregator over DEALER sockets, one at a time; of how it fares, to its control door.

Rules: a question is asked once for each connection. One that is lost takes the question or its answer with it, and as
all questions are idempotent it is asked again over a fresh socket, until the deadline. Silence is no loss: it is being
worked on, and asking again would only have it worked on twice.
A client may be shared by threads; a forked child opens sockets of its own. One that is forgotten is closed
by a finaliser that holds its sockets: ending a context whose sockets the garbage collector took first waits for ever.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Any, TypeVar

import zmq

from embertrace.config import check_endpoint
from embertrace.errors import AggregatorError, QueryError, SecurityError, WireError
from embertrace.handshake import Watch, secure_client
from embertrace.keys import ClientKey
from embertrace.wire.control import Control, Inspect, Locate, Refuse, State, Welcome, pack_control, unpack_control
from embertrace.wire.rpc import Answer, Request, pack_request, unpack_answer

LOCATE_S = 5.0
"""How long an aggregator may take to answer at its control door; then nobody is there."""
PAUSE_S = 0.1
"""Before a fresh socket, as ZeroMQ's between two connections: an analyst takes longer to come back."""

Answered = TypeVar("Answered", Welcome, State)
"""What an aggregator's control door tells clients."""


class _Opened:
    """A context and its one socket, of the process that opened them."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket: zmq.Socket[bytes] | None = None
        self.lost: zmq.Socket[bytes] | None = None
        """Has something to read once the socket's connection was lost."""
        self.owner = os.getpid()

    def fresh(self) -> zmq.Socket[bytes]:
        """A new socket in place of the old one."""
        self._drop()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.lost = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        return self.socket

    def close(self) -> None:
        """In a forked child, nothing: it is the parent's."""
        if self.owner == os.getpid():
            self._drop()
            self.context.term()

    def _drop(self) -> None:
        if self.socket is not None and self.lost is not None:
            self.socket.disable_monitor()
            self.lost.close(linger=0)
            self.socket.close(linger=0)


class Client:
    """A connection to the aggregator at `endpoint`; each call waits at most `timeout_s` seconds. Thread-safe."""

    def __init__(self, endpoint: str, *, timeout_s: float = 30.0, key: ClientKey | None = None) -> None:
        self._lock = threading.Lock()
        self._opened: _Opened | None = None
        self._finalizer: weakref.finalize[[], Client] | None = None
        self._address = ""
        self._asked = 0
        self.endpoint = endpoint
        self.timeout_s = timeout_s
        self._key = key
        self._host, _ = check_endpoint(endpoint)

    def call(self, method: str, **params: Any) -> Any:
        """The answer to one question. Raises QueryError if it can't be answered, AggregatorError if nobody does."""
        with self._lock:
            deadline = time.monotonic() + self.timeout_s
            self._connect()
            while (answer := self._ask(method, params, deadline)) is None:
                if time.monotonic() + PAUSE_S >= deadline:
                    raise AggregatorError(
                        f"the aggregator at {self.endpoint} did not answer {method} in {self.timeout_s} s"
                    )
                time.sleep(PAUSE_S)
                self._reopen()
        if answer.error is None:
            return answer.result
        if answer.code == "query":
            raise QueryError(answer.error)
        raise AggregatorError(f"the aggregator at {self.endpoint}: {answer.error}")

    def locate(self) -> Welcome:
        """Its recording and where its doors are, asked anew.

        Raises AggregatorError where no aggregator answers, SecurityError where one refuses the key.
        """
        with zmq.Context() as context:
            return self._exchange(context, Locate(), Welcome)

    def inspect(self) -> State:
        """What it counted since it started, and what it has left to record into. Raises as `locate`."""
        with zmq.Context() as context:
            return self._exchange(context, Inspect(), State)

    def close(self) -> None:
        """Let go of the sockets. The next call opens new ones."""
        with self._lock:
            if self._finalizer is not None:
                self._finalizer()
            self._opened = self._finalizer = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _connect(self) -> None:
        if self._opened is not None and self._opened.owner == os.getpid():
            return
        opened = _Opened()
        try:
            welcome = self._exchange(opened.context, Locate(), Welcome)
        except BaseException:
            opened.close()
            raise
        self._opened = opened
        self._finalizer = weakref.finalize(self, opened.close)
        self._finalizer.atexit = False  # LINGER is 0: the process may just end
        self._address = f"tcp://{welcome.host or self._host}:{welcome.rpc_port}"
        self._reopen()

    def _exchange(self, context: zmq.Context[zmq.Socket[bytes]], question: Control, wanted: type[Answered]) -> Answered:
        """One question to the control door, and its answer. Raises AggregatorError, SecurityError."""
        wait_s = min(LOCATE_S, self.timeout_s)
        with context.socket(zmq.DEALER) as socket:
            socket.linger = 0
            secure_client(socket, self._key)
            watch = Watch(socket)
            try:
                socket.connect(self.endpoint)
                _send(socket, pack_control(question))
                packed, refusal = self._await_answer(socket, watch, wait_s)
            finally:
                watch.close()
        if refusal is not None:
            raise SecurityError(f"the aggregator at {self.endpoint} {refusal}")
        if packed is None:
            raise AggregatorError(
                f"no aggregator answered at {self.endpoint} within {wait_s:g} s: "
                "is it running? Start one with `embertrace aggregate DIRECTORY`"
            )
        try:
            message = unpack_control(packed)
        except WireError as error:
            raise AggregatorError(f"{self.endpoint} answered, but is no aggregator: {error}") from None
        if isinstance(message, Refuse):
            raise AggregatorError(f"the aggregator at {self.endpoint} refused: {message.reason}")
        if not isinstance(message, wanted):
            raise AggregatorError(f"{self.endpoint} answered, but is no aggregator")
        return message

    @staticmethod
    def _await_answer(socket: zmq.Socket[bytes], watch: Watch, wait_s: float) -> tuple[bytes | None, str | None]:
        """The answer, or why there will be none; neither if nobody is there."""
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(watch.socket, zmq.POLLIN)
        deadline = time.monotonic() + wait_s
        while (left := deadline - time.monotonic()) > 0:
            ready = dict(poller.poll(int(left * 1000) + 1))
            if socket in ready:
                return socket.recv(), None
            refusal = watch.failure()
            if refusal is not None:
                return None, refusal
        return None, None

    def _reopen(self) -> None:
        """A fresh socket: what the old one may still deliver is not wanted any more."""
        assert self._opened is not None
        secure_client(socket := self._opened.fresh(), self._key)
        socket.connect(self._address)

    def _ask(self, method: str, params: dict[str, Any], deadline: float) -> Answer | None:
        """None once the connection is lost or the deadline has passed."""
        assert self._opened is not None and self._opened.socket is not None
        socket, lost = self._opened.socket, self._opened.lost
        self._asked += 1
        if not _send(socket, pack_request(Request(self._asked, method, params))):
            return None
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(lost, zmq.POLLIN)
        while ready := dict(poller.poll(max(0, int((deadline - time.monotonic()) * 1000)))):
            if socket not in ready:
                return None
            try:
                answer = unpack_answer(socket.recv())
            except WireError as error:
                raise AggregatorError(
                    f"the aggregator at {self.endpoint} answered what can't be read: {error}"
                ) from None
            if answer.id in (self._asked, 0):
                return answer
        return None


def _send(socket: zmq.Socket[bytes], message: bytes) -> bool:
    """Send without waiting: whether there is a connection to send through. One that was refused already is none, and
    waiting for another would be for ever."""
    try:
        socket.send(message, zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True
