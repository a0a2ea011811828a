"""Somebody who looks on at a live aggregator until its standard input ends. A step of `live`.

python looking_on.py ENDPOINT SPOOLS

Its first line says that it has begun; its last one has the seconds that each look took: {"statistics": […],
"visible": […], "question": […]}, the last of a question over all calls, asked at the end.
"""

from __future__ import annotations

import json
import select
import sys
import time

import embertrace as et
from embertrace.client import Client

WINDOW = 1_000
PATIENCE_S = 60.0


def main(endpoint: str, spools: str) -> None:
    monitor = et.OperatorMonitor(WINDOW, endpoint, timeout_s=PATIENCE_S)
    traced = et.trace(stage="probe")(lambda: None)
    statistics: list[float] = []
    visible: list[float] = []
    with et.init(endpoint, run="looking-on", spool_dir=spools) as run, Client(endpoint, timeout_s=PATIENCE_S) as client:
        monitor.get_rolling_stats()
        print(json.dumps({"begun": True}), flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            start = time.perf_counter()
            monitor.get_rolling_stats()
            statistics.append(time.perf_counter() - start)
            traced()
            start = time.perf_counter()
            run.emitter.flush(PATIENCE_S)
            durable = client.inspect().durable
            while client.call("info")["position"] < durable:
                pass
            visible.append(time.perf_counter() - start)
        start = time.perf_counter()
        assert client.call("progress", run=run.id)["roots"] == len(visible)
        question = [time.perf_counter() - start]
    print(json.dumps({"statistics": statistics, "visible": visible, "question": question}))


if __name__ == "__main__":
    main(*sys.argv[1:])
