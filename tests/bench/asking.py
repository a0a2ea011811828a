"""Asks an aggregator heavy questions, one after the other, until its standard input ends. A step of `ingest`.

python asking.py ENDPOINT

Its first line says that it has begun, its last one how often each was answered and in what time (median, in seconds).
"""

from __future__ import annotations

import contextlib
import json
import select
import statistics
import sys
import time

import embertrace as et
from embertrace.errors import EmbertraceError

VERBS = ("ensemble_disagreement", "judge_accuracy_by_agreement", "operators")
PATIENCE_S = 60.0


def main(endpoint: str) -> None:
    analysis = et.connect(endpoint, timeout_s=PATIENCE_S)
    print(json.dumps({"begun": True}), flush=True)
    taken: dict[str, list[float]] = {verb: [] for verb in VERBS}
    while not select.select([sys.stdin], [], [], 0)[0]:
        for verb in VERBS:
            start = time.perf_counter()
            with contextlib.suppress(EmbertraceError):
                getattr(analysis, verb)()
                taken[verb].append(time.perf_counter() - start)
    print(json.dumps({verb: [len(runs), statistics.median(runs or [0.0])] for verb, runs in taken.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
