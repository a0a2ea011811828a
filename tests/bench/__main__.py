"""Runs benchmarks, prints their figures with the peers' beside them, keeps them as JSON, and writes the pages.

python3 dev.py bench [--short] [--events N] [--runs N] [--results DIR] [--pages DIR] [NAME…]

Without names all groups run, for about half an hour; docs/performance.md and docs/capacity.md are then written from
all results there are. `pages` as the only name writes them without measuring anything. `--short` only shows that
everything runs: its figures go nowhere, unless --results and --pages say where.

Exit code 0 whatever the figures are, a missed target too; 1 if a group could not be measured.
"""

from __future__ import annotations

import argparse
import importlib
import pathlib
import sys
import time
import traceback
from collections.abc import Sequence

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from bench import capacity, host, page, store  # noqa: E402  (found through the path above)
from bench.harness import RUNS, Options, table  # noqa: E402

GROUPS = ("calls", "ray", "ingest", "analysis", "questions", "size", "live", "idle", "scaling")
MODULES = {"ray": "ray_tasks"}
"""Where a group's module has another name than the group."""
DOCS = TESTS.parent / "docs"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(GROUPS)}, or pages; default all")
    parser.add_argument("--short", action="store_true", help="tiny sizes: everything runs, no figure means anything")
    parser.add_argument("--events", type=int, help="so many events instead of a benchmark's own number")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"times that each timing is taken (default {RUNS})")
    parser.add_argument("--results", type=pathlib.Path, metavar="DIR", help="where the JSON files are kept")
    parser.add_argument("--pages", type=pathlib.Path, metavar="DIR", help="where the pages are written")
    parsed = parser.parse_args(arguments)
    unknown = set(parsed.names) - {*GROUPS, "pages"}
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    results = parsed.results or (None if parsed.short else store.RESULTS)
    names = [name for name in GROUPS if name in (parsed.names or GROUPS)]
    failed = [name for name in names if not measure(name, Options(parsed.events, parsed.runs, parsed.short), results)]
    pages = parsed.pages or (None if parsed.short else DOCS)
    if pages is not None:
        kept = store.read(results or store.RESULTS, GROUPS)
        (pages / "performance.md").write_text(page.page(kept), encoding="utf-8")
        (pages / "capacity.md").write_text(capacity.page(kept), encoding="utf-8")
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def measure(name: str, options: Options, results: pathlib.Path | None) -> bool:
    """One group: print its figures, and keep them where `results` says. Whether it could be measured."""
    module = importlib.import_module(f"bench.{MODULES.get(name, name)}")
    machine, start = host.machine(), time.perf_counter()
    try:
        figures = module.figures(options)
    except Exception:  # the groups are independent: one that fails costs none of the others
        traceback.print_exc()
        return False
    seconds = time.perf_counter() - start
    print(f"\n{name} ({seconds:.0f} s)\n\n{table(figures)}\n", flush=True)
    if results is not None:
        store.write(results, store.result(name, module, options, machine, seconds, figures))
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
