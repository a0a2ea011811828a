"""P7 and P8: loading a recording for analysis, and the seed's questions over it, beside DuckDB, polars and the seed.

"Counted anew" is what compares with the peers: payloads were read before (the peers get them as typed columns), and all
that questions made of answers is made again. What follows from the trees alone, whatever is asked, is known from the
first question on: who votes where, whom judges judge, of which items that is, which judges say the same. Peers, who
have no trees, group members by their parents each time; "who votes where anew" is with all that, under the same
target. "Asked again" is what a second question costs while nothing new came.

Over few events a question is over before the machine's caches know it. So what is held against the seed's loops is a
mean: of as many questions, each counted anew, as take as long as the loops do. What one alone takes, right after the
garbage of a large heap was collected, stands beside it, under the same target.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import embertrace as et
from aggregator.child import ALLOCATION
from bench import peers, seed
from bench.harness import Figure, Options, Timing, timed
from bench.questionnaire import write_recording
from embertrace.analysis.source import events_of
from embertrace.analysis.verbs import answer

EVENTS = 10_000_000
SMALL = 100_000
SHORT = 2_000
QUESTIONS = ("ensemble_disagreement", "accuracy_distribution", "judge_accuracy_by_agreement")
VOTING = ("ensemble_disagreement", "judge_accuracy_by_agreement")
OTHERS = ("stages", "operators", "health")
RATE, BYTES, FLAT = 1.5e6, 120, 1.2
MEMORY = 128 << 20
"""Bytes: less than the large recording takes."""
ANSWER_S, TIMES_SEED = 1.0, 100


def figures(options: Options) -> list[Figure]:
    """Every figure of P7 and P8."""
    events, few = options.sized(EVENTS, SHORT), options.chosen(SMALL, SHORT)
    with tempfile.TemporaryDirectory(prefix="embertrace-bench-") as scratch:
        small = pathlib.Path(scratch) / "small"
        few = write_recording(small, few)
        large = pathlib.Path(scratch) / "large"
        written = write_recording(large, events)
        return [*_loading(small, large, written, few, options.runs), *_asking(small, large, written, options.runs)]


def _load(directory: pathlib.Path) -> Any:
    """A recording, ready to be asked: its calls stand in their trees."""
    forest = et.open(directory)._forest
    forest.trees
    return forest


def _loading(small: pathlib.Path, large: pathlib.Path, events: int, fewer: int, runs: int) -> Iterator[Figure]:
    few = timed(lambda: _load(small), max(runs, 5))
    many = timed(lambda: _load(large), runs)
    rate, flat = events / many.median, (many.median / events) / (few.median / few.value.events)
    yield Figure(
        "P7", f"events/s, loading {events:,} events", f"{rate:,.0f}", rate, "≥ 1,500,000", rate >= RATE, key="load_rate"
    )
    yield Figure("P7", "  seconds of that", many.shown(), many.median)
    yield Figure("P7", f"  cost of an event against {fewer:,} events", f"{flat:.2f}×", flat, "≤ 1.2×", flat <= FLAT)
    del many
    yield from _memory(large, events)


def _memory(large: pathlib.Path, events: int) -> Iterator[Figure]:
    """In a process of its own, so that nothing else was ever loaded there."""
    done = subprocess.run(
        [sys.executable, str(pathlib.Path(__file__).with_name("resident.py")), str(large)],
        check=True,
        capture_output=True,
        text=True,
    )
    resident, payloads = json.loads(done.stdout)
    each = (resident - payloads) / events
    yield Figure(
        "P7", "resident bytes an event, beyond payloads", f"{each:.0f}", each, f"≤ {BYTES}", each <= BYTES,
        key="resident_bytes",
    )  # fmt: skip
    kept = payloads / events
    yield Figure("P7", "  payloads, bytes an event", f"{kept:.0f}", kept, key="payload_bytes")
    done = subprocess.run(
        [sys.executable, str(pathlib.Path(__file__).with_name("bounded.py")), str(large), str(MEMORY)],
        env={**ALLOCATION, **os.environ},
        check=True,
        capture_output=True,
        text=True,
    )
    taken, asked, parts, first_s, again_s = json.loads(done.stdout)
    yield Figure("P7", f"resident with a bound of {MEMORY >> 20} MiB", f"{taken >> 20} MiB", taken)
    yield Figure("P7", f"  while {parts} parts were asked for health", f"{asked >> 20} MiB", asked)
    yield Figure("P7", "  seconds of that, first", f"{first_s:.1f}", first_s)
    yield Figure("P7", "  seconds of that, again", f"{again_s:.3f}", again_s)


def _asking(small: pathlib.Path, large: pathlib.Path, events: int, runs: int) -> Iterator[Figure]:
    told = _peers(events, runs)
    forest = _load(large)
    few = _load(small)
    listed = list(events_of(few))
    for verb in (*QUESTIONS, *OTHERS):
        first = timed(lambda verb=verb: answer(forest, {"verb": verb}), 1)
        anew = timed(lambda verb=verb: answer(forest, {"verb": verb}), runs, forest.trees.kept.clear)
        again = timed(lambda verb=verb: answer(forest, {"verb": verb}), runs)
        untold = timed(lambda verb=verb: answer(forest, {"verb": verb}), runs, lambda: _forget_voters(forest))
        best = min([told[name][verb].median for name in told if verb in told[name]], default=None)
        shown = {name: told[name][verb].shown(1e3, 0) + " ms" for name in told if verb in told[name]}
        target = "≤ 1 s" + (", faster than both" if best is not None else "")
        met, untold_met = (one.median <= ANSWER_S and (best is None or one.median < best) for one in (anew, untold))
        said = anew.shown(1e3, 0) + " ms"
        yield Figure("P8", f"{verb}, {events:,} events, counted anew", said, anew.median, target, met, shown)
        if verb in VOTING:
            told_anew = untold.shown(1e3, 0) + " ms"
            yield Figure("P8", "  with who votes where anew", told_anew, untold.median, target, untold_met, shown)
        yield Figure("P8", "  asked again, nothing new", again.shown(1e3, 1) + " ms", again.median)
        yield Figure("P8", "  asked first, payloads unread", f"{first.median * 1e3:.0f} ms", first.median)
        if verb in QUESTIONS:
            yield from _against_seed(verb, few, listed, runs)


def _forget_voters(forest: Any) -> None:
    """All that questions made of the calls, what follows from the trees alone (see `Trees.once`), and who has which
    children. The trees as such stay: parents, items, scores, and texts that were read."""
    forest.trees.kept.clear()
    forest.trees.known.clear()
    vars(forest.trees.shape).pop("children_of_all", None)


def _against_seed(verb: str, forest: Any, events: list[Any], runs: int) -> Iterator[Figure]:
    """How many times faster than the document's loops, over as many events as those bear."""
    loops: Timing = timed(lambda: getattr(seed, verb)(events), runs)

    def anew() -> None:
        forest.trees.kept.clear()
        answer(forest, {"verb": verb})

    anew()
    alone = timed(anew, max(runs, 5))
    often = max(1, round(loops.median / alone.median))
    ours = timed(lambda: [anew() for _ in range(often)], max(runs, 5))
    times, cold = loops.median * often / ours.median, loops.median / alone.median
    shown = {"the seed's loops": f"{loops.shown(1e3, 1)} ms"}
    said = f"{times:.0f}× ({ours.median / often * 1e3:.2f} ms)"
    what = f"  against the seed's loops, {forest.events:,} events"
    yield Figure("P8", what, said, times, "≥ 100×", times >= TIMES_SEED, shown)
    said = f"{cold:.0f}× ({alone.median * 1e3:.2f} ms)"
    yield Figure("P8", "  against the loops, one alone, caches cold", said, cold, "≥ 100×", cold >= TIMES_SEED, shown)


def _peers(events: int, runs: int) -> dict[str, dict[str, Timing]]:
    """What the peers take, where they are installed."""
    try:
        frame = peers.frame(events)
        questions = {"DuckDB": peers.duckdb_questions(frame), "polars": peers.polars_questions(frame)}
    except ImportError as error:
        print(f"without the peers: {error}")
        return {}
    return {
        name: {verb: timed(question, runs) for verb, question in asked.items()} for name, asked in questions.items()
    }
