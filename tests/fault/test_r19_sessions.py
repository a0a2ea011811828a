"""R19: sessions in turn with the same long-lived processes, and streams that meet a recording late: nothing is crossed.

What is dropped, or gone before the recording was met, is a gap of exactly that many events, and holds nothing up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
from collections import Counter

from embertrace.emit import drain, spool_directory
from support.aggregators import aggregator, recorded
from support.ports import free_endpoint
from support.spools import (
    HEAD,
    MIB,
    adopt_by_another,
    emitter_in,
    emitting,
    event,
    kill,
    left_behind,
    returned,
)

WORKER = (
    HEAD.partition("endpoint, oracle =")[0]
    + """
for line in sys.stdin:
    endpoint, name, count = line.split()
    emitter = emit.emitter_for(endpoint)
    for number in range(int(count)):
        emitter.put(event(f"{name}/{os.getpid()}/{number}"))
    if emitter.stats().recording is None: assert emitter.flush(30)
    print("put", flush=True)
"""
)
"""Serves one session after the other, and hears of each: a stream without a recording goes to its endpoint alone."""


@dataclasses.dataclass(frozen=True)
class Figures:
    """Counts of events, but for `turns`, `orphans_left` and `stalls`."""

    turns: int
    emitted: int
    crossed: int
    """Found in the recording of another session."""
    lost: int
    twice: int
    orphans_left: int
    """Streams that nobody delivered, at the very end."""
    gaps_expected: int
    gaps_recorded: int
    stalls: int
    """Streams that did not get to their end."""

    @property
    def clean(self) -> bool:
        wrong = self.crossed, self.lost, self.twice, self.orphans_left, self.stalls
        return not any(wrong) and self.gaps_recorded == self.gaps_expected


def run(directory: pathlib.Path, turns: int = 3, workers: int = 2, events: int = 500) -> Figures:
    """All of R19 below `directory`, which must be empty."""
    found = [
        in_turn(directory / "in turn", turns, workers, events),
        apart(directory / "apart", events),
        fresh(directory / "fresh", 5000, events),
        trimmed(directory / "trimmed", events),
        dropped(directory / "dropped", events * 10),
    ]
    return Figures(
        **{field.name: sum(getattr(one, field.name) for one in found) for field in dataclasses.fields(Figures)}
    )


def judged(
    turns: int, recordings: dict[str, pathlib.Path], emitted: Counter[str], expected: int, **more: int
) -> Figures:
    """Names begin with that of their session, which is the name of a recording. `expected` events are in gaps."""
    crossed = gaps = 0
    seen: Counter[str] = Counter()
    for session, directory in recordings.items():
        for stream in recorded(directory).values():
            assert [seq for seq, _ in stream] == list(range(1, len(stream) + 1))
            names = [name for _, name in stream if name not in ("gap", "other")]
            gaps += sum(name == "gap" for _, name in stream)
            crossed += sum(name.partition("/")[0] != session for name in names)
            seen.update(names)
    return Figures(
        turns=turns,
        emitted=emitted.total(),
        crossed=crossed,
        lost=(emitted - seen).total() - expected,
        twice=(seen - emitted).total(),
        gaps_expected=expected,
        gaps_recorded=gaps,
        **{"orphans_left": 0, "stalls": 0, **more},
    )


def in_turn(directory: pathlib.Path, turns: int, workers: int, events: int) -> Figures:
    """Each session is ended while its workers still emit for it: what comes too late waits until it is up again."""
    spools = directory / "spools"
    emitted: Counter[str] = Counter()
    recordings = {f"session-{turn}": directory / f"session-{turn}" for turn in range(turns)}
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WORKER],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env={**os.environ, "EMBERTRACE_SPOOL_DIR": str(spools)},
                )
            )
            for _ in range(workers)
        ]

        def put(endpoint: str, name: str) -> None:
            for worker in started:
                assert worker.stdin is not None and worker.stdout is not None
                print(endpoint, name, events, file=worker.stdin, flush=True)
                assert worker.stdout.readline() == "put\n"
                emitted.update(f"{name}/{worker.pid}/{number}" for number in range(events))

        before: tuple[str, str] | None = None
        for session, recording in recordings.items():
            with aggregator(recording) as (ready, _):
                if before is not None:
                    put(before[0], f"{before[1]}/late")
                put(ready["endpoint"], session)
                before = ready["endpoint"], session
        for worker in started:
            worker.send_signal(signal.SIGKILL)
    for recording in recordings.values():
        with aggregator(recording) as (ready, _):
            assert adopt_by_another(spools, ready["endpoint"])
    return judged(turns, recordings, emitted, 0, orphans_left=len(spool_directory.streams(spools)))


def go_on(worker: subprocess.Popen[bytes]) -> None:
    """Let a worker put the rest, which nobody acknowledges."""
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(b"go on\n")
    worker.stdin.flush()
    assert worker.stdout.readline() == b"ready\n"


def apart(directory: pathlib.Path, events: int) -> Figures:
    """Orphans of one recording while only the other is up: they stay, and go to theirs when it is back."""
    directory.mkdir(parents=True)
    spools, oracle, endpoint = directory / "spools", directory / "oracle", free_endpoint()
    program = f"""
put("one/first")
assert emitter.flush(30)
ready()
sys.stdin.readline()
for number in range({events}): put(f"one/{{number}}")
ready()
time.sleep(600)
"""
    with contextlib.ExitStack() as stack:
        with aggregator(directory / "one", bind=endpoint) as (_, server):
            worker = stack.enter_context(emitting(program, endpoint, oracle, spools))
            server.send_signal(signal.SIGKILL)
            server.wait(30)
        go_on(worker)
        kill(worker)
    with aggregator(directory / "two") as (ready, _):
        assert adopt_by_another(spools, ready["endpoint"])
        (left,) = drain(spools, to=ready["endpoint"]).streams
        assert left.left is not None
    with aggregator(directory / "one") as (ready, _):
        assert adopt_by_another(spools, ready["endpoint"])
    recordings = {name: directory / name for name in ("one", "two")}
    return judged(2, recordings, Counter(returned(oracle)), 0, orphans_left=len(spool_directory.streams(spools)))


def fresh(directory: pathlib.Path, seq: int, events: int) -> Figures:
    """A recording meets a producer that has forgotten what was before `seq`: a gap, and then what it still has."""
    directory.mkdir(parents=True)
    endpoint = free_endpoint()
    left_behind(directory / "spools", endpoint, b"p" * 16, events, first=seq + 1, name="fresh/{}")
    with aggregator(directory / "fresh", bind=endpoint):
        stalls = sum(stream.left is not None for stream in drain(directory / "spools").streams)
    emitted = Counter([f"fresh/{number}" for number in range(events)] + ["fresh/forgotten"] * seq)
    return judged(1, {"fresh": directory / "fresh"}, emitted, seq, stalls=stalls)


def trimmed(directory: pathlib.Path, events: int) -> Figures:
    """An orphan that has trimmed what was acknowledged goes on where its recording ends: no gap, nothing twice."""
    directory.mkdir(parents=True)
    spools, oracle = directory / "spools", directory / "oracle"
    program = f"""
for number in range({max(events, 3000)}): put(f"one/{{number:<1000}}")
assert emitter.flush(30)
ready()
sys.stdin.readline()
for number in range(100): put(f"one/more/{{number}}")
ready()
time.sleep(600)
"""
    with contextlib.ExitStack() as stack:
        with aggregator(directory / "one") as (ready, _):
            worker = stack.enter_context(emitting(program, ready["endpoint"], oracle, spools))
        go_on(worker)
        kill(worker)
    (stream,) = spool_directory.streams(spools)
    assert not (stream / "00000000.ext").exists(), "it has trimmed"
    with aggregator(directory / "one") as (ready, _):
        assert adopt_by_another(spools, ready["endpoint"])
    left = len(spool_directory.streams(spools))
    return judged(1, {"one": directory / "one"}, Counter(returned(oracle)), 0, orphans_left=left)


def dropped(directory: pathlib.Path, events: int) -> Figures:
    """A spool that was full: what was dropped is a gap, and what came before and after is there."""
    endpoint = free_endpoint()
    emitter = emitter_in(directory / "spools", endpoint, MIB)
    names = [f"dropped/{number:<1000}" for number in range(events)]
    for name in names:
        emitter.put(event(name))
    lost = emitter.stats().dropped
    assert lost or events < 1000
    with aggregator(directory / "dropped", bind=endpoint):
        stalls = not emitter.flush(60)
        emitter.put(event("dropped/after"))
        stalls += not emitter.close(60)
    return judged(1, {"dropped": directory / "dropped"}, Counter([*names, "dropped/after"]), lost, stalls=int(stalls))


def test_nothing_is_crossed_and_gaps_are_exact(tmp_path: pathlib.Path) -> None:
    figures = run(tmp_path)
    assert figures.emitted > 10_000
    assert figures.clean, figures
    assert figures.gaps_expected > 5000, figures
