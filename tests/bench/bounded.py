"""What the analyst takes with a bound: prints [resident bytes beyond an empty one's once all was taken in, the most
while it was asked, parts, seconds of the first question, seconds of the second].

python bounded.py RECORDING MEMORY
"""

from __future__ import annotations

import json
import pathlib
import resource
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from aggregator.parts import Parts
from bench.resident import resident
from embertrace.recording import Recording


def main(directory: str, memory: int) -> None:
    recording = Recording.open(directory)
    parts = Parts(recording, memory)
    parts.ask({"verb": "health"})  # so that the libraries it needs are there
    before = resident()
    for item in recording.records():
        parts.take(item)
    taken, seconds = resident() - before, []
    for _ in range(2):
        start = time.perf_counter()
        parts.ask({"verb": "health"})
        seconds.append(time.perf_counter() - start)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    print(json.dumps([taken, most, len(parts), *seconds]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
