"""The listening socket, and the server's thread behind it.

Rules:
- The port is open from the start; web libraries are imported, and the thread started, when somebody first knocks. Until
  then HTTP costs a descriptor. The first answer comes a second later for it.
- The server has an event loop of its own and touches the forest never: see jobs.
- Closing ends questions and event streams first, then the server: within a second, whoever is connected.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aggregator.child import Orders
from aggregator.gauges import Gauges
from aggregator.web.jobs import Jobs
from aggregator.web.reaper import LOOK_S, Reaper
from aggregator.web.security import Policy
from embertrace.errors import SecurityError
from embertrace.keys import read_token
from embertrace.recording import Recording

if TYPE_CHECKING:
    import uvicorn

    from aggregator.web.stream import Streams

log = logging.getLogger("aggregator")

BACKLOG = 128
MAX_CONNECTIONS = 128
MAX_HEAD_BYTES = 16 * 1024
"""A request's line and headers."""
KEEP_ALIVE_S = 15
GRACE_S = 1
"""For answers that are under way when the door closes."""
STOP_S = 3.0
TAKE_OVER_S = 1.0
"""An analyst that was killed lets go of this port a moment after that of RPC, which was waited for."""
TRY_AGAIN_S = 0.05


def open_http(orders: Orders) -> HttpDoor | None:
    """The door, if it is to be opened and can be; what keeps it closed is said."""
    if orders.http_port is None:
        return None
    try:
        token = read_token(orders.keys) if orders.keys is not None else None
        return HttpDoor(_listen(orders.host, orders.http_port), Policy(token, hosts_of(orders)))
    except (OSError, OverflowError, SecurityError) as error:  # OverflowError: a port beyond the last
        what = error.strerror if isinstance(error, OSError) else str(error)
        log.warning("no page and no HTTP at %s, port %s: %s", orders.host, orders.http_port or "any", what)
        return None


def hosts_of(orders: Orders) -> frozenset[str]:
    """The names under which the door is known; addresses always are."""
    names = ["localhost", orders.host, socket.gethostname(), *([orders.advertise] if orders.advertise else [])]
    return frozenset(name.strip("[]").lower() for name in names)


def _listen(host: str, port: int) -> socket.socket:
    name = {"*": "0.0.0.0"}.get(host, host).strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    deadline = time.monotonic() + TAKE_OVER_S
    while True:
        try:
            return socket.create_server((name, port), family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise
        time.sleep(TRY_AGAIN_S)


class HttpDoor:
    """`wanted` is readable when the analyst's loop has something to do for it: `start`, and from then on `jobs.serve`.

    `gauges` are for the loop to set, now and then.
    """

    def __init__(self, listener: socket.socket, policy: Policy) -> None:
        self._listener = listener
        self._policy = policy
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._streams: Streams | None = None
        self._closing = threading.Event()
        self.jobs = Jobs()
        self.gauges: Gauges | None = None
        self.port = int(listener.getsockname()[1])

    @property
    def running(self) -> bool:
        return self._thread is not None

    @property
    def wanted(self) -> int:
        return self.jobs.wanted if self.running else self._listener.fileno()

    def start(self, recording: Recording) -> None:
        """Serve, in a thread of its own; with a view of the recording of its own."""
        view = Recording.open(Path(recording.directory))
        self._thread = threading.Thread(target=self._serve, args=(view,), name="aggregator-http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End questions, streams, connections and the thread."""
        self._closing.set()
        self.jobs.stop()
        if self._thread is not None and self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._stop)
            except RuntimeError:  # it has ended by itself
                pass
        if self._thread is not None:
            self._thread.join(STOP_S)
        self._listener.close()
        self.jobs.close()

    def _serve(self, recording: Recording) -> None:
        try:
            asyncio.run(self._run(recording))
        except Exception:
            log.exception("HTTP failed, and is closed until the aggregator is started anew")
            self._listener.close()

    async def _run(self, recording: Recording) -> None:
        import uvicorn

        from aggregator.web.app import make_app
        from aggregator.web.stream import Streams

        self._loop = asyncio.get_running_loop()
        self._streams = Streams()
        version: str = sys.modules["embertrace"].__version__
        app = make_app(
            recording, self.jobs, self._policy, self._streams, self._cut, lambda: self.gauges, time.monotonic, version
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            )
        )
        if not self._closing.is_set():
            reaping = asyncio.ensure_future(self._reap())
            await self._server.serve(sockets=[self._listener])
            reaping.cancel()

    async def _reap(self) -> None:
        reaper = Reaper()
        while True:
            await asyncio.sleep(LOOK_S)
            reaper.look(self._connections(), time.monotonic())

    def _connections(self) -> list[Any]:
        return list(self._server.server_state.connections) if self._server is not None else []

    def _stop(self) -> None:
        """In the server's loop."""
        if self._streams is not None:
            self._streams.stopping.set()
        if self._server is not None:
            self._server.should_exit = True

    def _cut(self, client: tuple[str, int] | None) -> None:
        """In the server's loop: end a connection, whatever is still to be sent."""
        for connection in self._connections():
            if connection.client == client:
                connection.transport.abort()
