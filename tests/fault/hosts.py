"""Two hosts on one machine: network namespaces, joined by a wire that can be cut, slow, lossy, or reset connections.

Rules:
- The ends of the wire are TUN devices, one in each namespace, and this file run as a program carries the packets
  between them: that needs no queueing discipline of the kernel. What it does with them, `wire` decides.
- The namespaces have no name and no other holder than that program and what runs in them. It ends with its standard
  input, hence also when its parent is killed: there is nothing to clean up, and nothing to collide with.
- It takes one command per line, and answers each with one line of JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import fcntl
import functools
import json
import os
import pathlib
import selectors
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from fault.wire import Wire

ADDRESSES = ("10.213.0.1", "10.213.0.2")
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_PACKET_BYTES = 65536
_AT_ONCE = 64
"""Packets taken from one host before the other's turn."""


class NotPermitted(Exception):
    """Why there can be no two hosts here."""


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """One of the two. `address` is where the other reaches it."""

    address: str
    namespace: str

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command line that runs `arguments` on this host."""
        return ["nsenter", f"--net={self.namespace}", "--", *arguments]


class TwoHosts:
    """Hosts `a` and `b`, and the wire between them. Made by `two_hosts`. One thread."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        ready = self._answer()
        if "error" in ready:
            raise NotPermitted(ready["error"])
        self.a, self.b = (
            Host(address, f"/proc/{process.pid}/fd/{descriptor}")
            for address, descriptor in zip(ADDRESSES, ready["namespaces"], strict=True)
        )

    def partition(self) -> None:
        """From now on packets vanish silently: to each host the other is just quiet."""
        self._command("partition")

    def heal(self) -> None:
        """End a partition."""
        self._command("heal")

    def delay(self, seconds: float) -> None:
        """Every packet takes so long, each way. 0 ends it."""
        self._command("delay", seconds)

    def loss(self, fraction: float) -> None:
        """Every packet is lost with this chance (0 … 1). 0 ends it."""
        self._command("loss", fraction)

    def reset(self) -> int:
        """Reset every TCP connection between the hosts; how many there were."""
        return int(self._command("reset")["reset"])

    def counters(self) -> dict[str, int]:
        """Packets `carried` and `lost`, and connections `reset`, so far."""
        return self._command("counters")

    def _command(self, *words: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise NotPermitted(f"the wire ended with {self._process.wait(10)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def two_hosts(seed: int) -> Iterator[TwoHosts]:
    """Two hosts while the block runs; `seed` chooses which packets are lost. Raises NotPermitted.

    Processes that were started on them must be ended by whoever started them.
    """
    if shutil.which("ip") is None or shutil.which("nsenter") is None:
        raise NotPermitted("the programs ip (iproute2) and nsenter (util-linux) are needed")
    command = [sys.executable, __file__, str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        try:
            yield TwoHosts(process)
        finally:
            process.stdin.close()


@functools.cache
def permitted() -> str | None:
    """Why there can be no two hosts here; None if there can."""
    try:
        with two_hosts(0):
            return None
    except NotPermitted as error:
        return str(error)


# The program that is the wire.


def main(seed: int) -> None:
    try:
        hosts = [_make_host(address, other) for address, other in zip(ADDRESSES, ADDRESSES[::-1], strict=True)]
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        print(json.dumps({"error": f"no network namespaces with TUN devices: {said.strip()}"}), flush=True)
        return
    print(json.dumps({"namespaces": [namespace for namespace, _ in hosts]}), flush=True)
    _carry(Wire(seed), [device for _, device in hosts])


def _make_host(address: str, other: str) -> tuple[int, int]:
    """Enter a new network namespace: descriptors of it, and of its end of the wire."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not sys.platform.startswith("linux") or libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())}")
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"wire", _IFF_TUN | _IFF_NO_PI))
    for words in ("link set lo up", f"addr add {address} peer {other} dev wire", "link set wire up"):
        subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return namespace, device


def _carry(wire: Wire, devices: Sequence[int]) -> None:
    """Until standard input ends."""
    with selectors.DefaultSelector() as selector:
        for descriptor in (sys.stdin.fileno(), *devices):
            selector.register(descriptor, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(wire.wait_s(time.monotonic())):
                if key.fd == sys.stdin.fileno():
                    line = sys.stdin.readline()
                    if not line:
                        return
                    print(json.dumps(_obey(wire, line.split())), flush=True)
                else:
                    _take(wire, devices, key.fd)
            for due in wire.give(time.monotonic()):
                with contextlib.suppress(BlockingIOError):  # its queue is full: one more packet that is lost
                    os.write(devices[due.to], due.packet)


def _take(wire: Wire, devices: Sequence[int], device: int) -> None:
    host = devices.index(device)
    with contextlib.suppress(BlockingIOError):
        for _ in range(_AT_ONCE):
            wire.take(host, os.read(device, _PACKET_BYTES), time.monotonic())


def _obey(wire: Wire, words: Sequence[str]) -> dict[str, int]:
    match words:
        case ["partition"]:
            wire.partition()
        case ["heal"]:
            wire.cut = False
        case ["delay", seconds]:
            wire.delay_s = float(seconds)
        case ["loss", fraction]:
            wire.loss = float(fraction)
        case ["reset"]:
            return {"reset": wire.reset(time.monotonic())}
        case ["counters"]:
            return dataclasses.asdict(wire.counters)
        case _:
            raise ValueError(f"no such command: {' '.join(words)}")
    return {}


if __name__ == "__main__":
    main(int(sys.argv[1]))
