"""A program that emits numbered events, and writes down each one whose emit returned.

python worker.py ENDPOINT DIRECTORY NAME [--rate R] [--events N] [--seed S] [--key FILE] [--spool-bytes B] [--die-at N]
                 [--look-s S]

It begins at once and emits until it has emitted N events, or its standard input ends; then it closes its run, waits for
acknowledgement, and ends with 0 if everything was acknowledged. It writes in DIRECTORY

    NAME.oracle   one number per line: that of an event whose emit returned, with one system call each, so that it is
                  there whenever and however the process dies
    NAME.samples  every SAMPLE_S one line: monotonic time, emitted, acknowledged, held and resident bytes, descriptors

With --look-s it looks for orphans so often. With --die-at it ends at that event by os._exit, without a word.
NAME.latencies has, of each emit in turn, when it began (monotonic) and how long it took, in nanoseconds: two int64
each, written at the end.

Events come R per second on average (0: as fast as they go), in the bursts and of the sizes that the seed chooses.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import random
import sys
import threading
import time
from array import array

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import embertrace as et
from embertrace.emit import Emitter, adopter
from fault.verdict import event_of

SAMPLE_S = 0.02
CLOSE_S = 60.0
"""For what is still held at the end: more than any fault of a test lasts."""
BURST = 20
"""The longest burst of events without a pause."""
DATA_BYTES = 400
"""The longest text in an event."""


def main() -> int:
    options = _options()
    adopter.LOOK_S = options.look_s
    settings = {"key": options.key, "spool_bytes": options.spool_bytes, "linger_s": CLOSE_S}
    run = et.init(options.endpoint, run=options.name, **{k: v for k, v in settings.items() if v is not None})
    stopping, stopped = threading.Event(), threading.Event()
    threading.Thread(target=_await_end_of_input, args=(stopping,), daemon=True).start()
    samples = options.directory / f"{options.name}.samples"
    sampler = threading.Thread(target=_sample, args=(samples, run.emitter, stopped))
    sampler.start()
    try:
        _emit(options, stopping)
        delivered = run.close(timeout_s=CLOSE_S) and run.emitter.close(CLOSE_S)
    finally:
        stopped.set()
        sampler.join()
    return 0 if delivered else 1


def _emit(options: argparse.Namespace, stopping: threading.Event) -> None:
    chance = random.Random(options.seed)
    text = "x" * DATA_BYTES
    latencies = array("q")
    oracle = os.open(options.directory / f"{options.name}.oracle", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    due, left = time.monotonic(), 0
    for number in range(options.events):
        if stopping.is_set():
            break
        if left == 0 and options.rate:
            left = chance.randint(1, BURST)
            due += left / options.rate
            stopping.wait(max(0.0, due - time.monotonic()))
        left -= 1
        if number == options.die_at:
            os._exit(9)
        event = event_of(options.name, number, text[: chance.randrange(DATA_BYTES)])
        began = time.monotonic_ns()
        et.EventCollector.emit(event)
        latencies.extend((began, time.monotonic_ns() - began))
        os.write(oracle, b"%d\n" % number)
    os.close(oracle)
    (options.directory / f"{options.name}.latencies").write_bytes(latencies.tobytes())


def _sample(path: pathlib.Path, emitter: Emitter, stopped: threading.Event) -> None:
    with path.open("w", buffering=1) as samples:
        last = False
        while not last:
            last = stopped.wait(SAMPLE_S)
            stats = emitter.stats()
            pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
            resident = pages * os.sysconf("SC_PAGE_SIZE")
            descriptors = len(os.listdir("/proc/self/fd"))
            row = (stats.emitted, stats.acknowledged, stats.held_bytes, resident, descriptors)
            print(time.monotonic(), *row, file=samples)


def _await_end_of_input(stopping: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stopping.set()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("name")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--events", type=int, default=1_000_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--key")
    parser.add_argument("--spool-bytes", type=int)
    parser.add_argument("--die-at", type=int, default=-1)
    parser.add_argument("--look-s", type=float, default=adopter.LOOK_S)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
