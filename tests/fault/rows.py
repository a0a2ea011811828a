"""The rows of the reliability table: what is injected, what is accepted, and what runs it, in short and in full.

A row is an experiment with figures, a suite of tests whose closing line is its figure, or both. The names are those of
docs/reliability.md.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from typing import NamedTuple

from fault import (
    experiment,
    kills,
    network,
    poison,
    replays,
    skews,
    soak,
    test_r18_off,
    test_r19_sessions,
    test_r20_spools,
)
from fault.hosts import permitted
from support import delivery_machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEED = 20_241_123
MB = 1_000_000


class Finding(NamedTuple):
    """One figure, and whether it is accepted; None where it is no claim of ours but what is measured beside."""

    figure: str
    accepted: bool | None


class Row(NamedTuple):
    """`run(full)` gives the findings."""

    name: str
    injection: str
    accept: str
    run: Callable[[bool], Iterable[Finding]]


def _suite(*paths: str) -> Callable[[bool], Iterable[Finding]]:
    """Tests; the same in short and in full."""

    def run(full: bool) -> Iterable[Finding]:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--no-header", "-rs", *paths]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        closing = done.stdout.strip().splitlines()[-1:] or ["nothing ran"]
        yield Finding(f"`pytest {' '.join(paths)}`: {closing[0].strip('= ')}", done.returncode == 0)

    return run


def _both(*runs: Callable[[bool], Iterable[Finding]]) -> Callable[[bool], Iterable[Finding]]:
    def run(full: bool) -> Iterable[Finding]:
        for one in runs:
            yield from one(full)

    return run


def _aggregator_kills(full: bool) -> Iterable[Finding]:
    found = kills.aggregator_kills(SEED, 20 if full else 2)
    yield Finding(str(found), found.clean and found.caught_up_s <= 5)
    yield Finding(str(kills.bare_receiver_kills(SEED, 20 if full else 4)), None)


def _worker_kills(full: bool) -> Iterable[Finding]:
    found = kills.worker_kills(SEED, 50 if full else 2)
    yield Finding(str(found), found.clean and found.adopted_s <= 10)
    yield Finding(str(kills.bare_sender_kills(SEED, 50 if full else 4)), None)


def _both_killed(full: bool) -> Iterable[Finding]:
    found = kills.both_killed(SEED, 20 if full else 2)
    yield Finding(str(found), found.clean)
    yield Finding(str(kills.bare_both_killed(SEED, 20 if full else 4)), None)


def _network(full: bool) -> Iterable[Finding]:
    reason = permitted()
    if reason:
        yield Finding(f"two hosts: skipped, {reason}", None)
    scenarios = {**({} if reason else network.ON_TWO_HOSTS), **network.ON_ONE_HOST}
    for name, run in scenarios.items():
        seconds = 1.0 if not full else 30.0 if name in ("partition", "relay_hold") else 10.0
        found: experiment.Figures = run(SEED, seconds)
        within = found.reconnected_s <= 2 and found.memory_growth_bytes <= 32 * MB
        yield Finding(str(found), found.verdict.clean and set(found.exits) == {0} and (within or not full))


def _stopped(full: bool) -> Iterable[Finding]:
    found = kills.aggregator_stopped(SEED, 60.0 if full else 4.0)
    bounded = found.held_bytes <= kills.STOPPED_SPOOL_BYTES and found.memory_growth_bytes <= 32 * MB
    calm = found.p99_while_us <= 2 * found.p99_before_us
    yield Finding(str(found), found.drops_are_exact and bounded and (calm or not full))


def _machine(full: bool) -> Iterable[Finding]:
    try:
        found = delivery_machine.run(SEED, 10_000 if full else 300)
    except AssertionError as error:
        yield Finding(f"a sequence that breaks a rule: {error}", False)
    else:
        yield Finding(str(found), True)


def _poison(full: bool) -> Iterable[Finding]:
    found = poison.run(SEED, 100_000 if full else 3_000)
    safe = not found.crashes and not found.lost and not found.twice
    yield Finding(str(found), safe and found.memory_growth <= 64 * MB)


def _skews(full: bool) -> Iterable[Finding]:
    for skew_s, step_s in ((5.0, 0.0), (-5.0, 0.0), (5.0, 5.0), (0.0, 3600.0)):
        found = skews.skews(SEED, skew_s, step_s)
        yield Finding(str(found), not found.negative_durations and not found.inversions)


def _replays(full: bool) -> Iterable[Finding]:
    found = replays.replays(SEED, 5 if full else 1)
    yield Finding(str(found), found.equal)


def _off(full: bool) -> Iterable[Finding]:
    with tempfile.TemporaryDirectory() as home:
        found = test_r18_off.run(pathlib.Path(home), rounds=50 if full else 2)
    yield Finding(str(found), found.none_exists)


def _sessions(full: bool) -> Iterable[Finding]:
    with tempfile.TemporaryDirectory() as directory:
        found = test_r19_sessions.run(pathlib.Path(directory), *((10, 4, 5_000) if full else (2, 2, 200)))
    yield Finding(str(found), found.clean)


def _spools(full: bool) -> Iterable[Finding]:
    with tempfile.TemporaryDirectory() as directory:
        found = test_r20_spools.run(pathlib.Path(directory), 500 if full else 20, SEED)
    yield Finding(str(found), found.clean)


def _matrix(full: bool) -> Iterable[Finding]:
    yield from _suite("tests/integration/test_context_matrix.py", *(["--matrix"] if full else []))(full)


def _soak(full: bool) -> Iterable[Finding]:
    found = soak.soak(SEED, 30 * 60.0 if full else 3 * 60.0)
    flat = found.memory_slope_mb_per_min <= 1 and found.descriptors[1] <= found.descriptors[0]
    yield Finding(str(found), found.clean and (flat or not full))


ROWS = (
    Row(
        "R1",
        "aggregator killed under load, 20 times",
        "0 lost, 0 twice, in order; caught up in ≤ 5 s",
        _aggregator_kills,
    ),
    Row(
        "R2",
        "workers killed, or gone by `os._exit`, 50 times; Ray's by `ray.kill`",
        "0 lost of the emits that returned; adopted in ≤ 10 s",
        _both(_worker_kills, _suite("tests/integration/test_exit.py", "-k", "dead_ray_workers")),
    ),
    Row(
        "R3",
        "both at once, 20 times",
        "0 lost, 0 twice",
        _both_killed,
    ),
    Row(
        "R4",
        "a kill at each failpoint: before, amid and after every write, sync, seal, rename",
        "0 acknowledged lost, 0 twice",
        _suite("tests/integration/test_failpoints.py"),
    ),
    Row(
        "R5",
        "the last segment cut, and every byte of a small recording flipped",
        "all before the damage; none invented; every flip noticed",
        _suite("tests/property/test_recording_damage.py", "tests/unit/test_recording_repair.py"),
    ),
    Row(
        "R6",
        "disk full, EIO, failing fsync",
        "acknowledgements stop; operators go on; 0 lost",
        _suite("tests/integration/test_full_disk.py", "tests/unit/test_recording_disks.py"),
    ),
    Row(
        "R7",
        "reset, half-open, delay, loss, a partition of 30 s",
        "0 lost; reconnected in ≤ 2 s; memory flat",
        _network,
    ),
    Row(
        "R8",
        "aggregator stopped (SIGSTOP) for 60 s, small spool",
        "emit p99 ≤ 2× before; memory and spool within their caps; drops exact",
        _stopped,
    ),
    Row(
        "R9",
        "acknowledgements and welcomes dropped, delayed, doubled, reordered",
        "0 twice, no livelock, at most 2× the bytes sent",
        _suite("tests/property/test_delivery_machine.py", "-k", "disturbed"),
    ),
    Row(
        "R10",
        "any sequence of producers × network × log × crashes, 10,000 of them",
        "every rule holds after every step",
        _machine,
    ),
    Row(
        "R11",
        "poison, oversized, fuzzed: 100,000 messages at all doors",
        "0 crashes; neighbours whole; memory ≤ +64 MB",
        _both(_poison, _suite("tests/property/test_hostile_bytes.py", "tests/property/test_hostile_events.py")),
    ),
    Row(
        "R12",
        "retries, cancel, forced cancel, actor restart, kills",
        "right attempts; every call ends, or is lost",
        _suite("tests/integration/test_ray_retries.py"),
    ),
    Row(
        "R13",
        "every kind of task, actor, thread, process; 10,000 interleaved calls each",
        "every parent right; 0 leaks; kinds unchanged",
        _matrix,
    ),
    Row(
        "R14",
        "clocks ± 5 s apart; a clock set back",
        "no negative duration; no causal inversion",
        _skews,
    ),
    Row(
        "R15",
        "wrong key, no key, unknown client, bad Host, bad Origin, `../`, symbolic links",
        "refused; the client says so in ≤ 5 s",
        _suite(
            "tests/integration/test_security.py", "tests/integration/test_web_security.py", "tests/unit/test_keys.py"
        ),
    ),
    Row(
        "R16",
        "a recording made under faults, replayed twice",
        "identical digest of all answers",
        _replays,
    ),
    Row(
        "R17",
        "everything at random, 30 min",
        "0 lost, 0 twice; memory ≤ +1 MB/min; descriptors flat",
        _soak,
    ),
    Row(
        "R18",
        "tracing off",
        "no thread, socket or file exists",
        _off,
    ),
    Row(
        "R19",
        "two sessions in turn with the same actors; orphans of one while only the other is up; a fresh recording met "
        "at seq 5,000; a trimmed orphan; dropped seqs",
        "0 crossed, no stall, gaps exact",
        _both(_sessions, _suite("tests/integration/test_ray_collect.py", "-k", "in_turn")),
    ),
    Row(
        "R20",
        "spool on a full disk, a torn last record, a forked child with the mapping, a finaliser that emits",
        "operator lives; 0 invented; adopted; no deadlock",
        _both(
            _spools,
            _suite("tests/fault/test_r20_spools.py", "-k", "full_disk"),
            _suite("tests/property/test_extent_bytes.py"),
        ),
    ),
)
