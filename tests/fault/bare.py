"""Bare PUSH and PULL, as programs: what embertrace's delivery would be without its protocol.

python bare.py push|pull ENDPOINT FILE RATE

A sender sends RATE messages per second (0: as fast as it can).

Both write one line per message to FILE, with one system call each: a sender when its send has returned, a receiver
when it has received. They run until their standard input ends.
"""

from __future__ import annotations

import os
import pathlib
import select
import subprocess
import sys
import time

import zmq

LINGER_MS = 2000
"""As long as embertrace lingers."""


def main(role: str, endpoint: str, path: str, rate: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with zmq.Context() as context, context.socket(zmq.PUSH if role == "push" else zmq.PULL) as socket:
        socket.linger = LINGER_MS
        if role == "push":
            socket.connect(endpoint)
            _push(socket, file, pathlib.Path(path).name, float(rate))
        else:
            socket.bind(endpoint)
            _pull(socket, file)


def _push(socket: zmq.Socket[bytes], file: int, name: str, rate: float) -> None:
    number = 0
    while not _input_ended(1 / rate if rate else 0):
        message = b"%s %d" % (name.encode(), number)
        socket.send(message)
        os.write(file, message + b"\n")
        number += 1


def _pull(socket: zmq.Socket[bytes], file: int) -> None:
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    poller.register(sys.stdin.fileno(), zmq.POLLIN | zmq.POLLERR)
    while True:
        ready = dict(poller.poll())
        if socket in ready:
            os.write(file, socket.recv() + b"\n")
        elif sys.stdin.fileno() in ready:
            return


def _input_ended(wait_s: float) -> bool:
    return bool(select.select([sys.stdin], [], [], wait_s)[0])


# For whoever starts these programs.


def await_lines(path: pathlib.Path, deadline_s: float) -> None:
    """Wait until something is in the file."""
    over = time.monotonic() + deadline_s
    while not path.exists() or not path.stat().st_size:
        if time.monotonic() > over:
            raise TimeoutError(f"nothing in {path} after {deadline_s} s")
        time.sleep(0.01)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill it, if it lives."""
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def finish(sender: subprocess.Popen[bytes], receiver: subprocess.Popen[bytes]) -> None:
    """Let the sender end in peace, then the receiver once it has received what there is."""
    for process in (sender, receiver):
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def lines(directory: pathlib.Path, role: str) -> list[bytes]:
    """Every whole line that programs of this role wrote."""
    return [line for path in directory.glob(f"{role}*") for line in path.read_bytes().split(b"\n")[:-1]]


if __name__ == "__main__":
    main(*sys.argv[1:])
