"""Runs and sessions: what is described, who is told, and that nothing is ever held up."""

from __future__ import annotations

import logging
import os
import pathlib
import subprocess
import sys
import time

import pytest

import embertrace as et
from embertrace import collect
from embertrace.errors import AggregatorError, ConfigError, QueryError, RecordingError
from support.aggregators import aggregator


@et.trace(type="member")
def leaf(value: int = 0) -> int:
    return value


def test_init_sends_a_described_run_to_a_shared_aggregator(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _):
        with et.init(ready["endpoint"], run="nightly", project="team-a", config={"k": 3}) as run:
            with et.item("q1", truth=7):
                leaf(7)
            assert run.emitter.flush(10)
        with pytest.raises(ZeroDivisionError), et.init(ready["endpoint"], run="broken"):
            leaf(1 / 0)  # type: ignore[arg-type]
        with et.init(ready["endpoint"], run="broken"):
            leaf(2)
        run.emitter.close(10)
        analysis = et.connect(ready["endpoint"])
        runs = {row["name"]: row for row in analysis.runs()}
        while not all(row["status"] == "finished" for row in runs.values()):
            runs = {row["name"]: row for row in analysis.runs()}
        assert [call.result for call in analysis.run("nightly").calls] == [7]
    assert (runs["nightly"]["project"], runs["nightly"]["config"], runs["nightly"]["roots"]) == ("team-a", {"k": 3}, 1)


def test_several_runs_are_never_pooled_silently(tmp_path: pathlib.Path) -> None:
    for name in ("monday", "tuesday"):
        with et.session(tmp_path / "rec", run=name, quiet=True):
            leaf()
    analysis = et.open(tmp_path / "rec")
    with pytest.raises(QueryError, match=r"monday.*tuesday"):
        analysis.ensemble_disagreement()
    assert len(analysis.run("monday").calls) == 1
    assert {row["status"] for row in analysis.runs()} == {"finished"}


def test_a_session_that_fails_says_so_and_keeps_what_came(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KeyError), et.session(tmp_path / "rec", run="bad", quiet=True):
        leaf(1)
        raise KeyError("stop")
    analysis = et.open(tmp_path / "rec")
    assert [row["status"] for row in analysis.runs()] == ["failed"]
    assert len(analysis.calls) == 1


def test_what_a_session_was_asked_can_be_asked_behind_it(tmp_path: pathlib.Path) -> None:
    with et.session(tmp_path / "rec", quiet=True) as session:
        leaf(1)
        inside = session.analysis()
        calls = inside.calls
    leaf(2)
    assert [call.result for call in calls] == [1]
    assert inside.health()["calls"] == session.analysis().health()["calls"] == 1
    assert len(inside.events) == len(session.analysis().events)


def test_a_session_where_another_aggregator_writes_is_one_clear_error(tmp_path: pathlib.Path) -> None:
    with et.session(tmp_path / "rec", quiet=True):
        with pytest.raises(AggregatorError, match="being written by another aggregator"), et.session(tmp_path / "rec"):
            raise AssertionError("never reached")
        leaf()
    assert len(et.open(tmp_path / "rec").calls) == 1


@pytest.mark.parametrize("status", ["finished", "crashed"])
def test_a_program_that_ends_or_dies(tmp_path: pathlib.Path, status: str) -> None:
    program = """
import os, signal, sys
import embertrace as et
@et.trace
def outer(die):
    inner()
    if die:
        collect_run.emitter.flush(10)
        os.kill(os.getpid(), signal.SIGKILL)
@et.trace
def inner(): ...
collect_run = et.init(sys.argv[1], run="program")
outer(sys.argv[2] == "crashed")
"""
    with aggregator(tmp_path / "rec") as (ready, _):
        done = subprocess.run([sys.executable, "-c", program, ready["endpoint"], status], timeout=60, check=False)
        assert (done.returncode == 0) == (status == "finished")
    analysis = et.open(tmp_path / "rec")
    outcomes = {call.operator_id: call.outcome for call in analysis.calls}
    if status == "finished":
        assert outcomes == {"outer": "result", "inner": "result"}
        assert [row["status"] for row in analysis.runs()] == ["finished"]
    else:
        assert outcomes == {"outer": "open", "inner": "result"}
        assert [row["status"] for row in analysis.runs()] == ["running"]


def test_an_unreachable_aggregator_holds_up_nobody(tmp_path: pathlib.Path) -> None:
    program = """
import embertrace as et
@et.trace
def work(n): return n
et.init("tcp://127.0.0.1:1", run="alone", linger_s=0.5)
print(sum(work(n) for n in range(1000)))
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "499500\n")
    assert done.stderr.count("not delivered") == 1
    assert "2002 events" in done.stderr
    assert time.monotonic() - began < 30


def test_the_environment_can_ask_for_tracing(tmp_path: pathlib.Path) -> None:
    program = "import embertrace as et\n@et.trace\ndef work(): ...\nwork()"
    with aggregator(tmp_path / "rec") as (ready, _):
        environment = {**os.environ, "EMBERTRACE_ENDPOINT": ready["endpoint"], "EMBERTRACE_RUN": "from-env"}
        subprocess.run([sys.executable, "-c", program], env=environment, timeout=60, check=True)
        wrong = {**os.environ, "EMBERTRACE_ENDPOINT": "nonsense"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=wrong, timeout=60, check=True, capture_output=True, text=True
        )
    assert "tracing stays off" in done.stderr
    assert [row["name"] for row in et.open(tmp_path / "rec").runs()] == ["from-env"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"endpoint": "nowhere"}, "tcp://127.0.0.1:5557"),
        ({"endpoint": None}, "needs an endpoint"),
        ({"endpoint": "tcp://127.0.0.1:1", "run": "a b"}, "a name has letters"),
        ({"endpoint": "tcp://127.0.0.1:1", "capture": "some"}, "all, answers, none"),
        ({"endpoint": "tcp://127.0.0.1:1", "payload_bytes": 1}, "256 to 131072"),
        ({"endpoint": "tcp://127.0.0.1:1", "redact_patterns": ("(",)}, "no regular expression"),
        ({"endpoint": "tcp://127.0.0.1:1", "colour": "red"}, "unknown settings: colour"),
    ],
)
def test_unusable_settings_say_what_is_allowed(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("(", r"\(")):
        et.init(**settings)  # type: ignore[arg-type]
    assert collect.sinks == ()


def test_redaction_and_capture_hold_before_anything_is_kept(tmp_path: pathlib.Path) -> None:
    @et.trace
    def login(user: str, api_key: str) -> str:
        return f"{user}: sk-12345"

    with aggregator(tmp_path / "rec") as (ready, _):
        before = collect.settings
        try:
            with et.init(ready["endpoint"], redact_keys=("api_key",), redact_patterns=(r"sk-\d+",)) as run:
                login("me", api_key="hunter2")
            run.emitter.close(10)
        finally:
            collect.configure(before)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "rec" / "segments").iterdir())
    assert b"hunter2" not in stored
    assert b"sk-12345" not in stored
    assert b"me: [redacted]" in stored


def test_recordings_that_can_not_be_read_say_why(tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty").mkdir()
    for directory in (tmp_path / "none", tmp_path / "empty"):
        with pytest.raises(RecordingError, match="recording"):
            et.open(directory)


def test_calls_that_stay_open_are_named_when_a_session_ends(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    @et.trace
    def unfinished() -> object:
        yield 1

    with caplog.at_level(logging.WARNING, "embertrace"), et.session(tmp_path / "rec", quiet=True, wait=0.3):
        generator = unfinished()
        next(generator)  # type: ignore[call-overload]
    generator.close()  # type: ignore[attr-defined]
    assert "1 calls" in caplog.text
