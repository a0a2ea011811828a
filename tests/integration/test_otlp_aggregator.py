"""`embertrace aggregate --otlp`: spans come about beside the recording, whatever the receiver does."""

from __future__ import annotations

import json
import pathlib
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aggregator.cursor import Cursor, read_cursor, write_cursor
from embertrace.client import Client
from embertrace.emit import emitter_for
from embertrace.wire.event import pack_event
from support.aggregators import aggregator, refused
from support.forests import Placed, Story
from support.otlp_receiver import Receiver, attributes, receiving

PATIENCE_S = 60.0


def wait_for(what: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


def emit(endpoint: str, events: list[Placed]) -> None:
    emitter = emitter_for(endpoint)
    for _, _, event in events:
        emitter.put(pack_event(event))
    assert emitter.flush(30)
    emitter.close(10)


def metrics(ready: dict[str, Any]) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{ready['http_port']}/metrics", timeout=30) as answer:
        lines = [line.rpartition(" ") for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def told(number: int) -> Story:
    story = Story(f"p{number}", run="r1", first_id=1 + 100 * number)
    story.describe_run("r1", name="nightly", project="team-a")
    story.question(f"q{number}", "aab", verdict="a")
    return story


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def by_name(receiver: Receiver) -> list[str]:
    return sorted(span.name for span in receiver.spans())


TREE = ["chooser", "m0", "m1", "m2", "panel", "pipeline"]


def test_traces_and_late_labels_arrive_and_what_was_sent_is_not_sent_again(
    receiver: Receiver, tmp_path: pathlib.Path
) -> None:
    with aggregator(tmp_path / "rec", "--otlp", receiver.url) as (ready, _):
        story = told(0)
        emit(ready["endpoint"], story.events)
        wait_for(lambda: len(receiver.spans()) >= 6, "no spans came")
        labels = Story("labeller")
        labels.label("q0", "a", by="human:ann")
        emit(ready["endpoint"], labels.events)
        wait_for(lambda: len(receiver.spans()) >= 7, "the label did not come")
        wait_for(lambda: metrics(ready).get("embertrace_otlp_evaluations_total") == 1, "it was not counted")
        assert metrics(ready)["embertrace_otlp_spans_total"] == 6
    assert by_name(receiver) == sorted([*TREE, "evaluation truth"])
    assert {attributes(one.resource)["openinference.project.name"] for one in receiver.resources()} == {"team-a"}
    with aggregator(tmp_path / "rec", "--otlp", receiver.url) as (ready, _):
        emit(ready["endpoint"], told(1).events)
        wait_for(lambda: len(receiver.spans()) >= 13, "a new exporter goes on")
    assert by_name(receiver) == sorted([*TREE, *TREE, "evaluation truth"])


def test_a_receiver_that_is_down_and_then_busy_costs_no_event_and_no_span(tmp_path: pathlib.Path) -> None:
    with receiving() as gone:
        url = gone.url
    log = tmp_path / "log"
    with aggregator(tmp_path / "rec", "--otlp", url, log=log) as (ready, _):
        emit(ready["endpoint"], told(0).events)
        wait_for(lambda: metrics(ready).get("embertrace_otlp_failing") == 1, "that is not said")
        emit(ready["endpoint"], told(1).events)
        with Client(ready["endpoint"]) as client:
            wait_for(lambda: client.call("info")["events"] == 26, "recording and questions go on")
        busy = [(429, {"Retry-After": "0"}, b""), (503, {"Retry-After": "0"}, b"")]
        with receiving(*busy, port=int(url.rpartition(":")[2])) as receiver:
            wait_for(lambda: len(receiver.spans()) >= 12, "it was not tried again")
            wait_for(lambda: metrics(ready)["embertrace_otlp_failing"] == 0, "that it is over is not said")
            assert metrics(ready)["embertrace_otlp_retries_total"] >= 3
    assert "OTLP export goes on" in log.read_text()


def test_a_slow_receiver_holds_up_neither_recording_nor_the_end(tmp_path: pathlib.Path) -> None:
    with receiving() as receiver:
        receiver.hold.clear()
        with aggregator(tmp_path / "rec", "--otlp", receiver.url) as (ready, process):
            emit(ready["endpoint"], told(0).events)
            wait_for(lambda: bool(receiver.paths), "nothing was sent")
            emit(ready["endpoint"], told(1).events)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(30) == 0
        receiver.hold.set()
    port = int(receiver.url.rpartition(":")[2])
    with receiving(port=port) as again, aggregator(tmp_path / "rec", "--otlp", receiver.url):
        wait_for(lambda: len(again.spans()) >= 12, "what was not taken is sent by the next")
    assert by_name(again) == sorted(TREE * 2)


def test_what_can_not_work_is_said_at_once(tmp_path: pathlib.Path) -> None:
    assert "'nowhere' is no address of an OTLP receiver" in refused(tmp_path / "rec", "--otlp", "nowhere")


def test_the_cursor_is_for_one_receiver_and_damage_makes_it_none(tmp_path: pathlib.Path) -> None:
    story = Story()
    story.describe_run("r1", name="nightly")
    cursor = Cursor(17, story.events)
    assert read_cursor(tmp_path, "http://a") is None
    write_cursor(tmp_path, "http://a", cursor)
    assert read_cursor(tmp_path, "http://a") == cursor and read_cursor(tmp_path, "http://b") is None
    held = json.loads((tmp_path / "otlp.json").read_text())
    for damage in ({**held, "version": 2}, {**held, "runs": [["zz", 1, "00"]]}, {**held, "position": "x"}, [], {}):
        (tmp_path / "otlp.json").write_text(json.dumps(damage))
        assert read_cursor(tmp_path, "http://a") is None
