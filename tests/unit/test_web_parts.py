"""The parts of the HTTP door without a server: jobs, windows of events, streams to slow readers, formats, metrics."""

from __future__ import annotations

import asyncio
import json
import math
import pathlib
import select
import shutil
import subprocess
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import pyarrow.ipc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from aggregator.api import State, call
from aggregator.gauges import Gauges, read_gauges
from aggregator.paging import cut, in_order
from aggregator.web import stream as streaming
from aggregator.web.app import status_of
from aggregator.web.asking import Refused, ask, bounded, refused_for
from aggregator.web.formats import ArrowStream, to_ndjson
from aggregator.web.jobs import Busy, Fault, Jobs
from aggregator.web.metrics import exposition
from aggregator.web.pages import read_files
from aggregator.web.reaper import Reaper
from aggregator.web.resources import read_value
from aggregator.web.security import Asked, Policy, host_name
from aggregator.web.stream import EventStream, Streams
from aggregator.web.tail import read_window
from embertrace.errors import QueryError
from embertrace.recording import Follower, Recording, RecordingWriter
from embertrace.wire.rpc import MAX_ANSWER_BYTES
from support.recordings import ONE, TWO, append_batch, make_small, segments, ticking


@pytest.fixture
def state(tmp_path: pathlib.Path) -> State:
    """Of a small recording, all of it taken in."""
    make_small(tmp_path / "rec")
    recording = Recording.open(tmp_path / "rec")
    found, follower = State(recording), Follower(recording)
    while records := follower.poll():
        found.extend(records, follower.position)
    return found


def test_a_first_look_makes_what_is_asked_first(state: State, tmp_path: pathlib.Path) -> None:
    state.look()
    trees = state.forest.trees
    call(state, "query", {"verb": "judge_accuracy"})
    assert state.forest.trees is trees
    with RecordingWriter(tmp_path / "empty", clock_ns=ticking()):
        pass
    State(Recording.open(tmp_path / "empty")).look()


# Jobs


def test_a_job_wakes_the_loop_and_is_answered_by_it(state: State) -> None:
    jobs = Jobs()
    assert select.select([jobs.wanted], [], [], 0)[0] == []
    asked, wrong = jobs.put("ping", {}), jobs.put("nope", {})
    assert select.select([jobs.wanted], [], [], 0)[0] == [jobs.wanted]
    jobs.serve(partial(call, state))
    assert asked.result(0) == "pong"
    assert isinstance(wrong.exception(0), QueryError)
    assert select.select([jobs.wanted], [], [], 0)[0] == []
    jobs.close()


def test_jobs_beyond_the_limit_are_refused_and_those_given_up_never_begun(state: State) -> None:
    jobs = Jobs(limit=2)
    first, second = jobs.put("ping", {}), jobs.put("ping", {})
    with pytest.raises(Busy):
        jobs.put("ping", {})
    assert first.cancel()
    jobs.serve(partial(call, state))
    assert second.result(0) == "pong"
    jobs.put("ping", {})
    jobs.close()


def test_a_fault_of_ours_is_told_as_one_and_harms_nothing(state: State, caplog: pytest.LogCaptureFixture) -> None:
    jobs = Jobs()
    broken = jobs.put("items", {"filters": [["run", "x"]], "options": 7})
    jobs.serve(partial(call, state))
    assert isinstance(broken.exception(0), QueryError)
    state.parts = None  # type: ignore[assignment]
    broken = jobs.put("runs", {})
    jobs.serve(partial(call, state))
    fault = broken.exception(0)
    assert isinstance(fault, Fault) and refused_for(fault).to_data()["code"] == "internal"
    assert "runs failed" in caplog.text
    jobs.close()


def test_a_question_that_nobody_answers_has_a_deadline() -> None:
    jobs = Jobs()
    with pytest.raises(Refused) as refused:
        asyncio.run(ask(jobs, "ping", {}, deadline_s=0.0))
    assert (refused.value.status, refused.value.code) == (504, "deadline")
    jobs.close()


def test_an_answer_has_a_limit() -> None:
    with pytest.raises(Refused, match="over the limit"):
        bounded(memoryview(bytes(MAX_ANSWER_BYTES + 1)))  # type: ignore[arg-type]


# Windows


def walked(recording: Recording, start: int = 0, **options: Any) -> tuple[list[tuple[str, int]], int]:
    """All events from a position on, window by window, and how many could not be decoded."""
    found, undecodable, stop = [], 0, recording.end()
    while start < stop:
        window = read_window(recording, start, stop, **options)
        assert window.position > start, "it comes no further"
        found += [(event["producer"], event["seq"]) for event in window.events]
        undecodable += window.undecodable
        start = window.position
    return found, undecodable


EVENTS = [(ONE.hex(), 1), (ONE.hex(), 2), (TWO.hex(), 1), (ONE.hex(), 3), (TWO.hex(), 7), (TWO.hex(), 8)]


@pytest.mark.parametrize("window_bytes", [64, 100, 200, 300, 1000, 1 << 20])
def test_windows_of_any_size_hold_every_event_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, window_bytes: int
) -> None:
    make_small(tmp_path / "rec")
    recording = Recording.open(tmp_path / "rec")
    if window_bytes >= 300:  # a record is larger than that, and then it is passed over
        monkeypatch.setattr("aggregator.web.tail.WINDOW_BYTES", window_bytes)
        assert walked(recording) == (EVENTS, 0)
    assert walked(recording, max_events=1) == (EVENTS, 0)


def test_a_window_begins_at_any_end_of_one(tmp_path: pathlib.Path) -> None:
    make_small(tmp_path / "rec")
    recording = Recording.open(tmp_path / "rec")
    for record in recording.records():
        before = [event for event in EVENTS if event not in walked(recording, record.position)[0]]
        assert before == EVENTS[: len(before)]
    assert read_window(recording, recording.end(), recording.end()).events == []


def test_damage_is_passed_over(tmp_path: pathlib.Path) -> None:
    make_small(tmp_path / "rec")
    first, _ = segments(tmp_path / "rec")
    content = bytearray(first.read_bytes())
    content[300:330] = b"?" * 30
    first.write_bytes(content)
    found, _ = walked(Recording.open(tmp_path / "rec"))
    assert 2 <= len(found) < len(EVENTS)
    assert [event for event in EVENTS if event in found] == found
    assert walked(Recording.open(tmp_path / "rec"), start=7)[0]


# Streams


class Reader:
    """Takes so many messages, then none."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.taken: list[dict[str, Any]] = []

    async def send(self, message: Any) -> None:
        if len(self.taken) >= self.takes:
            await asyncio.Event().wait()
        self.taken.append(message)

    async def receive(self) -> Any:
        await asyncio.Event().wait()


def test_a_reader_that_takes_nothing_is_cut_off(tmp_path: pathlib.Path) -> None:
    cut_off: list[Any] = []

    async def run() -> None:
        with RecordingWriter(tmp_path / "rec", name="n", clock_ns=ticking()) as writer:
            append_batch(writer, ONE, 1, 5)
            writer.sync()
            streams = Streams()
            streams.enter()
            answer = EventStream(
                Recording.open(tmp_path / "rec"), 0, True, streams, lambda client: cut_off.append(client), slow_s=0.01
            )
            reader = Reader(takes=2)
            await answer({"client": ("127.0.0.1", 7)}, reader.receive, reader.send)
            assert [message["type"] for message in reader.taken] == ["http.response.start", "http.response.body"]
            assert streams.open == 0

    asyncio.run(run())
    assert cut_off == [("127.0.0.1", 7)]


def test_an_idle_stream_gives_signs_of_life_and_ends_when_the_door_closes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BEAT_S", 0.0)
    monkeypatch.setattr(streaming, "LOOK_S", 0.001)

    async def run() -> None:
        with RecordingWriter(tmp_path / "rec", name="n", clock_ns=ticking()):
            streams = Streams()
            streams.enter()
            answer = EventStream(Recording.open(tmp_path / "rec"), 0, True, streams, lambda client: None)
            reader = Reader(takes=10**9)
            serving = asyncio.ensure_future(answer({"client": None}, reader.receive, reader.send))
            while not any(message.get("body", b"").startswith(b":") for message in reader.taken):
                assert not serving.done(), serving.result()
                await asyncio.sleep(0)
            streams.stopping.set()
            await serving
            assert reader.taken[-1] == {"type": "http.response.body", "body": b""}

    asyncio.run(run())


class Connection:
    """As the server's own: idle before its first request and after an answer."""

    def __init__(self, complete: bool | None) -> None:
        self.cycle = None if complete is None else SimpleNamespace(response_complete=complete)
        self.aborted = 0
        self.transport = self

    def abort(self) -> None:
        self.aborted += 1


def test_connections_that_ask_nothing_are_ended() -> None:
    silent, answered, asking = Connection(None), Connection(True), Connection(False)
    everyone: list[Any] = [silent, answered, asking]
    reaper = Reaper(idle_s=20)
    reaper.look(everyone, 0)
    reaper.look(everyone, 19)
    assert [one.aborted for one in everyone] == [0, 0, 0]
    answered.cycle = SimpleNamespace(response_complete=False)
    reaper.look(everyone, 20)
    assert [one.aborted for one in everyone] == [1, 0, 0]
    answered.cycle = SimpleNamespace(response_complete=True)
    reaper.look([answered, asking], 25)
    reaper.look([answered, asking], 44)
    assert answered.aborted == 0
    reaper.look([answered, asking], 45)
    assert (answered.aborted, asking.aborted) == (1, 0)


# Formats


def test_arrow_keeps_types_and_says_the_rest_in_json() -> None:
    rows: list[Mapping[str, Any]] = [
        {"a": 1, "b": 1, "c": "x", "d": True, "e": [1], "f": None, "g": 1 << 63, "h": b"\x01", "i": 1},
        {"a": 2, "b": 0.5, "c": None, "d": None, "e": {"k": 1}, "f": None, "g": 2, "h": "t", "i": "mixed"},
    ]
    arrow = ArrowStream()
    table = pyarrow.ipc.open_stream(arrow.add(rows) + arrow.end()).read_all()
    assert table.to_pydict() == {
        "a": [1, 2], "b": [1.0, 0.5], "c": ["x", None], "d": [True, None], "e": ["[1]", '{"k":1}'], "f": [None, None],
        "g": [str(1 << 63), "2"], "h": ["01", "t"], "i": ["1", "mixed"],
    }  # fmt: skip
    empty = ArrowStream()
    assert pyarrow.ipc.open_stream(empty.add([]) + empty.end()).read_all().num_rows == 0


def test_lines_are_one_row_each() -> None:
    assert [json.loads(line) for line in to_ndjson([{"a": "x\ny"}, {"b": b"\xff"}]).splitlines()] == [
        {"a": "x\ny"},
        {"b": "ff"},
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [("q17", "q17"), ("17", 17), ('"17"', "17"), ("true", True), ("[1, 2]", [1, 2]), ("NaN", "NaN"), ("", ""),
     ("[" * 100_000, "[" * 100_000), ("Infinity", "Infinity"), ("regex:(a)", "regex:(a)")],
)  # fmt: skip
def test_values_are_json_where_they_are(text: str, value: Any) -> None:
    assert read_value(text) == value


# Metrics


def test_metrics_can_be_read_at_any_time(state: State) -> None:
    before = list(text_string_to_metric_families(exposition(None, 0.0).decode()))
    assert {family.name: family.samples[0].value for family in before}["embertrace_up"] == 0
    state.ingest = {"counters": {"events": 7, "malformed": 1, "strange": "x"}, "free_bytes": None, "started_ns": 5}
    text = exposition(read_gauges(state, 1.0), 3.5, streams=2).decode()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["embertrace_events_total",] == 6
    assert found["embertrace_gap_events_total", "other"] == 5
    assert found["embertrace_producers", "ended"] == 1
    assert found["embertrace_producers", "connected"] == 1
    assert found["embertrace_analyst_figures_age_seconds",] == 2.5
    assert found["embertrace_http_streams",] == 2
    assert found["embertrace_ingest_malformed_total",] == 1
    assert ("embertrace_recording_free_bytes",) not in found


def test_metrics_follow_the_conventions(state: State) -> None:
    """As `promtool check metrics` has it: base units, counters (and nothing else) end in _total, help texts."""
    exported = ("spans", "evaluations", "refused", "given_up", "requests", "retries", "unfinished")
    counters = {f"otlp_{name}": 3 for name in (*exported, "waiting", "failing", "behind_bytes")}
    state.ingest = {"counters": counters, "free_bytes": 9, "started_ns": 5, "received_ns": 6}
    lines = exposition(read_gauges(state, 1.0), 2.0).decode().splitlines()
    kinds = {line.split()[2]: line.split()[3] for line in lines if line.startswith("# TYPE ")}
    helps = {line.split()[2]: line.split(" ", 3)[3] for line in lines if line.startswith("# HELP ")}
    assert kinds.keys() == helps.keys() and len(kinds) == sum(line.startswith("# TYPE ") for line in lines)
    assert {f"embertrace_otlp_{name}_total" for name in exported} <= kinds.keys()
    foreign = ("milliseconds", "microseconds", "nanoseconds", "ms", "ns", "kb", "mb", "minutes", "percent")
    for name, kind in kinds.items():
        assert name.startswith("embertrace_") and name == name.lower() and helps[name].endswith(".")
        assert kind in ("counter", "gauge") and (kind == "counter") == name.endswith("_total"), name
        assert not set(name.split("_")) & {*foreign, "counter", "gauge", "count", "sum", "bucket"}, name
        assert {"seconds", "bytes"}.isdisjoint(name.split("_")[:-2]), f"the unit comes last in {name}"
    text = "\n".join(lines) + "\n"
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["embertrace_otlp_spans"].type == "counter"
    assert families["embertrace_otlp_behind_bytes"].type == "gauge"


def test_promtool_has_no_complaint(state: State) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package: prometheus)")
    state.ingest = {"counters": {"otlp_spans": 1, "otlp_behind_bytes": 2, "events": 3}, "free_bytes": 9}
    text = exposition(read_gauges(state, 1.0), 2.0)
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_one_word_says_how_it_fares(state: State) -> None:
    fine = read_gauges(state, 10.0)
    behind: Gauges = fine._replace(durable=fine.position + 1)
    assert [status_of(None, 0), status_of(fine, 11), status_of(behind, 11), status_of(fine, 100)] == [
        "starting", "ok", "behind", "busy",
    ]  # fmt: skip


def test_producers_are_known_from_their_records(state: State) -> None:
    one, two = state.roll.known[ONE], state.roll.known[TWO]
    assert (one.events, one.ended, one.lost) == (3, True, 0)
    assert (two.events, two.ended, two.lost) == (3, False, 5)
    rows = {row["producer"]: row for row in (one.to_row(), two.to_row())}
    assert rows[ONE.hex()]["status"] == "ended" and rows[TWO.hex()]["status"] == "connected"


# Pages and policies


def test_pages_join_to_the_whole() -> None:
    rows: list[int] = []
    cursor: int | None = 0
    while cursor is not None:
        page, cursor = cut(range(10), cursor, 3)
        rows += page
    assert rows == list(range(10))
    assert cut([], 0, 3) == ([], None)
    assert cut(range(3), 0, 3) == ([0, 1, 2], None)
    assert cut(range(3), 99, 3) == ([], None)


def test_cells_of_all_kinds_have_an_order() -> None:
    cells = ["b", 2, None, "A", True, 10**400, -1.5, {"a": 1}, math.inf]
    assert sorted(cells, key=in_order)[:5] == [-1.5, True, 2, 10**400, math.inf]


def test_only_files_of_the_list_are_served(tmp_path: pathlib.Path) -> None:
    (tmp_path / "lib").mkdir()
    for name in ("a.js", "lib/b.css", ".hidden.js", "c.py", "d"):
        (tmp_path / name).write_text(name)
    (tmp_path / "link.js").symlink_to("/etc/hostname")
    assert {name: file.type for name, file in read_files(tmp_path).items()} == {
        "a.js": "text/javascript; charset=utf-8",
        "lib/b.css": "text/css; charset=utf-8",
    }


@pytest.mark.parametrize(
    ("header", "name"),
    [("localhost", "localhost"), ("LocalHost:5560", "localhost"), ("[::1]:1", "::1"), ("a.example.", "a.example"),
     ("", None), ("a:b", None), ("user@a", None), ("a/b", None), ("a?b", None), ("[::1", None), (":80", None)],
)  # fmt: skip
def test_the_name_in_a_host_header(header: str, name: str | None) -> None:
    assert host_name(header) == name


def test_two_host_headers_are_none() -> None:
    policy = Policy(None, frozenset({"localhost"}))
    refusal = policy.judge(Asked("GET", "/", {"host": ["localhost", "localhost"]}))
    assert refusal is not None and refusal.code == "host"
    assert policy.judge(Asked("GET", "/", {"host": ["localhost"]})) is None
