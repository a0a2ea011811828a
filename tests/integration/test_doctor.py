"""`embertrace doctor` where people need it: nothing runs, something runs, something was left, something is refused."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from embertrace.client import Client
from embertrace.doctor import Diagnosis, examine, observe
from embertrace.emit import Emitter, spool_directory
from embertrace.handshake import new_pair
from embertrace.keys import make_keys
from support.aggregators import aggregator
from support.ports import free_endpoint
from support.spools import FOREVER, emitting, kill


@pytest.fixture
def environment(tmp_path: pathlib.Path) -> dict[str, str]:
    return {"EMBERTRACE_SPOOL_DIR": str(tmp_path / "spools")}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no defect."""
    monkeypatch.setattr(observe, "LIMIT_S", 60.0)


def severities(diagnosis: Diagnosis, where: str) -> list[str]:
    return [finding.severity for finding in diagnosis.findings if finding.where == where]


def told(diagnosis: Diagnosis, where: str) -> str:
    return "\n".join(f"{f.severity}: {f.what} → {f.todo}" for f in diagnosis.findings if f.where == where)


def doctor(*arguments: str, environment: Mapping[str, str], code: int) -> Any:
    """What `embertrace doctor --json` prints, and that it ends with this code."""
    command = [sys.executable, "-c", "from embertrace.cli import main; main()", "doctor", "--json", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EMBERTRACE_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, env={**kept, **environment})
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def test_a_running_aggregator_and_nothing_amiss(tmp_path: pathlib.Path, environment: dict[str, str]) -> None:
    with aggregator(tmp_path / "rec") as (ready, process):
        environment["EMBERTRACE_ENDPOINT"] = ready["endpoint"]
        found = examine(environment=environment)
        assert found.ok, str(found)
        assert severities(found, "aggregator") == ["ok", "ok"]
        assert f"its page is at http://127.0.0.1:{ready['http_port']}/" in told(found, "aggregator")
        assert severities(found, "analyst") == ["ok"]
        assert f"rec ({ready['recording']}) at {ready['endpoint']}, process {process.pid}" in told(found, "aggregator")
        assert f"events go to {ready['endpoint']}" in told(found, "settings")
        data = doctor(environment=environment, code=0)
    assert data["ok"]
    assert {"severity", "where", "what", "todo"} == set(data["findings"][0])
    assert not (tmp_path / "spools").exists(), "it changes nothing"


def test_what_was_counted_is_told(tmp_path: pathlib.Path, environment: dict[str, str]) -> None:
    with aggregator(tmp_path / "rec") as (ready, _):
        emitter = Emitter(ready["endpoint"], spool_bytes=1 << 22, linger_s=5.0)
        for _ in range(7):
            emitter.put(b"\x90")
        assert emitter.flush(30)
        state = Client(ready["endpoint"]).inspect()
        assert emitter.close(10)
        found = examine(ready["endpoint"], environment=environment)
    assert (state.counters["events"], state.counters["bytes"], state.counters["connected"]) == (7, 7, 1)
    assert state.durable > 0
    assert 0 < state.started_ns <= state.received_ns <= state.now_ns
    assert state.free_bytes
    assert "7 events since it started" in told(found, "aggregator")


def test_nothing_runs_and_nothing_is_set(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "USUAL_ENDPOINT", free_endpoint())
    found = examine(environment=environment)
    assert found.ok
    assert severities(found, "aggregator") == ["warn"]
    assert "`embertrace aggregate runs/shared`" in told(found, "aggregator")


def test_what_is_set_and_absent_is_bad_and_so_is_nonsense(environment: dict[str, str]) -> None:
    data = doctor(free_endpoint(), environment=environment, code=1)
    assert not data["ok"]
    (finding,) = [finding for finding in data["findings"] if finding["where"] == "aggregator"]
    assert "nothing listens there" in finding["what"]
    data = doctor("tcp://nonsense", environment={**environment, "EMBERTRACE_LINGER_S": "long"}, code=1)
    assert [finding["where"] for finding in data["findings"] if finding["severity"] == "bad"] == [
        "settings",
        "aggregator",
    ]


def test_an_orphaned_spool_is_listed_until_it_is_delivered(tmp_path: pathlib.Path, environment: dict[str, str]) -> None:
    spools, endpoint = tmp_path / "spools", free_endpoint()
    with emitting(FOREVER, endpoint, tmp_path / "oracle", spools) as worker:
        alive = examine(endpoint, environment=environment)
        assert "waiting for an aggregator" in told(alive, "spools")
        kill(worker)
    absent = examine(endpoint, environment=environment)
    assert f"start an aggregator at {endpoint}" in told(absent, "spools")
    assert "left by dead processes" in told(absent, "spools")
    with aggregator(tmp_path / "rec", bind=endpoint):
        present = examine(endpoint, environment=environment)
        assert "`embertrace drain` delivers them now" in told(present, "spools")
        assert len(spool_directory.streams(spools)) == 1, "it changes nothing"


@pytest.mark.parametrize("key", [None, "stranger"])
def test_a_refused_key_is_told_from_an_absent_aggregator(
    tmp_path: pathlib.Path, environment: dict[str, str], key: str | None
) -> None:
    make_keys(tmp_path / "keys", ["alice", "stranger"], new_pair)
    (tmp_path / "keys" / "clients" / "stranger.pub").unlink()
    with aggregator(tmp_path / "rec", "--keys", str(tmp_path / "keys")) as (ready, _):
        if key is not None:
            environment["EMBERTRACE_KEY"] = str(tmp_path / "keys" / "clients" / f"{key}.key")
        refused = examine(ready["endpoint"], environment=environment)
        environment["EMBERTRACE_KEY"] = str(tmp_path / "keys" / "clients" / "alice.key")
        let_in = examine(ready["endpoint"], environment=environment)
        environment["EMBERTRACE_KEY"] = str(tmp_path / "nowhere.key")
        assert "can't be read" in told(examine(ready["endpoint"], environment=environment), "settings")
    assert severities(refused, "aggregator") == ["bad"]
    assert "EMBERTRACE_KEY" in told(refused, "aggregator")
    assert let_in.ok, str(let_in)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_no_aggregator_is_given_up(
    silent_port: int, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "LIMIT_S", 1.5)
    found = examine(f"tcp://127.0.0.1:{silent_port}", environment=environment)
    assert severities(found, "aggregator") == ["bad"]


def test_a_look_that_hangs_or_fails_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "LIMIT_S", 0.05)
    release = threading.Event()
    assert observe.bounded(release.wait) == observe.Unknown("nothing came back within 0.05 s")
    release.set()
    monkeypatch.setattr(observe, "LIMIT_S", 30.0)
    assert observe.bounded(lambda: 1 // 0) == observe.Unknown("ZeroDivisionError: integer division or modulo by zero")


def test_spools_are_rehearsed_and_the_place_of_those_to_come_looked_at(tmp_path: pathlib.Path) -> None:
    spools = tmp_path / "spools"
    assert observe.look_at_spools(None) is None
    coming = observe.look_at_spools(spools / "deep")
    assert coming is not None
    assert (coming.exists, coming.fault) == (False, None)
    spools.write_text("a file")
    beside = observe.look_at_spools(spools / "deep")
    assert beside is not None
    assert beside.fault == f"{spools} is a file"
    spools.unlink()
    spools.mkdir()
    there = observe.look_at_spools(spools)
    assert there is not None
    assert (there.exists, there.fault) == (True, None)
    assert (there.free_bytes or 0) > 0
    assert list(spools.iterdir()) == []


def test_a_directory_that_can_not_be_written_to_is_bad(
    tmp_path: pathlib.Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "not supported")

    (tmp_path / "spools").mkdir()
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    monkeypatch.setattr(observe, "USUAL_ENDPOINT", free_endpoint())
    found = examine(environment=environment)
    assert severities(found, "spools") == ["bad"]
    assert "not supported" in told(found, "spools")


def test_many_who_inspect_at_once_are_all_answered(tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec") as (ready, _):
        answers: list[object] = []
        threads = [
            threading.Thread(target=lambda: answers.append(Client(ready["endpoint"]).inspect())) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(answers) == 8
