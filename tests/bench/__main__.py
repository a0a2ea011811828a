"""Runs benchmarks and prints their figures as a table, with the peers' beside them.

python3 dev.py bench [--events N] [--runs N] [--json FILE] [NAME…]

Exit code 0 whatever the figures are: a missed target is said in the table, and stands in the JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import sys
from collections.abc import Sequence

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from bench import analysis  # noqa: E402  (found through the path above)
from bench.harness import RUNS, Benchmark, Options, table  # noqa: E402

BENCHMARKS: dict[str, Benchmark] = {"analysis": analysis.figures}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default all")
    parser.add_argument("--events", type=int, help="so many events instead of a benchmark's own number")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"times that each timing is taken (default {RUNS})")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the figures there, too")
    parsed = parser.parse_args(arguments)
    unknown = set(parsed.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    results = {}
    for name in parsed.names or BENCHMARKS:
        figures = BENCHMARKS[name](Options(parsed.events, parsed.runs))
        print(f"\n{name}\n\n{table(figures)}\n", flush=True)
        results[name] = [figure.to_data() for figure in figures]
    if parsed.json is not None:
        host = {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}
        parsed.json.write_text(json.dumps({"host": host, "figures": results}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
