"""A TCP relay on loopback, between producers and an aggregator: it resets connections, holds them, or makes them slow.

Rules:
- It listens on another loopback address with the aggregator's own ports: producers keep the host they dialled, and
  learn the other ports from the aggregator's welcome. It needs no privilege.
- It changes no byte, drops none of a connection that lives, and looks into none.
- It holds at most QUEUE_CHUNKS per direction of a connection: who sends faster than it passes on feels that.
- One daemon thread does all the work. The methods may be called from any thread, and have taken effect when they
  return.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from embertrace import collect, keys
from embertrace.client import Client
from embertrace.config import check_endpoint

LISTEN = "127.0.0.2"
"""Linux answers on all of 127.0.0.0/8; elsewhere an address has to be added to the loopback device first."""
CHUNK_BYTES = 65536
QUEUE_CHUNKS = 64
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends a RST, and forgets what was not yet sent."""

_Pair = tuple[int, asyncio.StreamWriter, asyncio.StreamWriter]
"""A port, and what leads to the two ends of a connection."""


class Relay:
    """Passes TCP connections to `host`:port on, for each of `ports`, while its `with` block runs. Thread-safe.

    Entering raises OSError where a port is taken at `listen`, or that address can't be used.
    """

    def __init__(self, host: str, ports: Sequence[int], listen: str = LISTEN) -> None:
        self.host = host
        self.listen = listen
        self.ports = tuple(ports)
        self._delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)

    @property
    def endpoint(self) -> str:
        """Where to send instead of to the aggregator: its first port, here."""
        return f"tcp://{self.listen}:{self.ports[0]}"

    def reset(self, port: int | None = None) -> int:
        """Reset every connection, or those to one port (RST to both ends); how many. New ones are taken at once."""
        return int(self._do(lambda: self._reset(port)))

    def hold(self) -> None:
        """From now on nothing is passed on. Connections stay, and new ones are accepted: to each end the other is
        just quiet (half-open)."""
        self._do(self._open.clear)

    def resume(self) -> None:
        """End `hold`: everything goes on where it stopped."""
        self._do(self._open.set)

    def delay(self, seconds: float) -> None:
        """What comes from now on is passed on so much later, each way. 0 ends it."""
        self._do(lambda: setattr(self, "_delay_s", seconds))

    def __enter__(self) -> Relay:
        self._thread.start()
        try:
            for port in self.ports:
                self._run(self._listen(port))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def _close(self) -> None:
        """Reset what lives, and let go of all ports."""
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Callable[[], Any]) -> Any:
        async def doing() -> Any:
            return what()

        return self._run(doing())

    def _run(self, doing: Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result()  # type: ignore[arg-type]

    # In the thread.

    async def _listen(self, port: int) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._pass_on(port, reader, writer)
            writer.close()

        self._servers.append(await asyncio.start_server(accept, self.listen, port, limit=CHUNK_BYTES))

    async def _pass_on(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until both ends have said all they had to say, or one of them broke off."""
        await self._open.wait()
        there, onward = await asyncio.open_connection(self.host, port, limit=CHUNK_BYTES)
        pair = (port, writer, onward)
        self._pairs.add(pair)
        ways = [asyncio.create_task(self._one_way(reader, onward)), asyncio.create_task(self._one_way(there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
            await self._open.wait()
        finally:
            self._pairs.discard(pair)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            onward.close()

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUE_CHUNKS)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(reader, queue))
            group.create_task(self._give(queue, writer))

    async def _take(self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        data = b"?"
        while data:
            data = await reader.read(CHUNK_BYTES)
            await queue.put((self._loop.time() + self._delay_s, data))

    async def _give(self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        """Until the end (an empty chunk) has passed."""
        while True:
            at, data = await queue.get()
            await asyncio.sleep(max(0.0, at - self._loop.time()))
            await self._open.wait()
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    def _reset(self, port: int | None) -> int:
        wanted = [ends for to, *ends in self._pairs if port in (None, to)]
        living = [ends for ends in wanted if not any(end.is_closing() for end in ends)]
        for writer in itertools.chain.from_iterable(living):
            made: socket.socket = writer.get_extra_info("socket")
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        return len(living)

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        self._reset(None)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets in the next round


def relay(endpoint: str, listen: str = LISTEN) -> Relay:
    """A relay to the aggregator at `endpoint`; to be used in a `with` block. Dial its `endpoint` instead.

    Raises AggregatorError where no aggregator answers, SecurityError where it wants another key.
    """
    host, port = check_endpoint(endpoint)
    with Client(endpoint, key=keys.load(collect.settings.key)) as client:
        where = client.locate()
    return Relay(where.host or host, [port, where.push_port, where.rpc_port], listen)
