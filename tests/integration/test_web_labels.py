"""Labels over HTTP: recorded as any label is, durable when answered, kept over restarts, refused with a reason."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Iterator
from typing import Any, cast

import pytest

import embertrace as et
from aggregator.handing import MAX_WAITING, Handed, Handing, NobodyRecords, TooMany
from aggregator.labels import event_of
from aggregator.parts import Parts
from aggregator.web.asking import refused_for
from embertrace.emit import emitter_for
from embertrace.event import call_hex
from embertrace.handshake import new_pair
from embertrace.keys import make_keys, read_token
from embertrace.recording import Record, Recording
from embertrace.recording.layout import BEGIN, END
from embertrace.wire.batch import BATCH
from embertrace.wire.event import pack_event
from support.aggregators import aggregator
from support.forests import Story
from support.http_client import Answer, Http

PANEL, MEMBER, JUDGE = 2, 3, 6
"""Calls of the first question, by the order in which a story numbers them."""


def record(ready: dict[str, Any]) -> Http:
    """Two questions without a truth, one whose key is a number, and a judge about nothing; all of it taken in."""
    story = Story("labels", run="monday")
    for place in range(2):
        story.question(f"q{place}", ["A", "B", "A"], verdict="A")
    story.question(7, ["A"], verdict="A", truth="A")
    story.judge("A")
    emitter = emitter_for(ready["endpoint"])
    for _, _, event in story.events:
        emitter.put(pack_event(event))
    assert emitter.flush(60)
    emitter.close(10)
    http = Http(ready["http_port"])
    while http.get("/v1/info").json["events"] < len(story.events):
        pass
    return http


@pytest.fixture
def http(tmp_path: pathlib.Path) -> Iterator[Http]:
    with aggregator(tmp_path / "rec") as (ready, _):
        yield record(ready)


def say(http: Http, **label: Any) -> Answer:
    return http.post("/v1/labels", label)


def row(http: Http, item: Any = "q0") -> dict[str, Any]:
    (found,) = http.get("/v1/items", {"item": item}).json["rows"]
    return dict(found)


def test_a_truth_is_taken_into_account_by_the_next_question(http: Http) -> None:
    assert row(http)["correct"] is None
    said = say(http, item="q0", truth="A", by="human:ann")
    assert said.status == 200 and said.json.keys() == {"producer", "seq", "position"}
    assert (row(http)["truth"], row(http)["correct"]) == ("A", 1)
    assert say(http, item="q0", truth=["B", "C"]).json["seq"] == 2
    assert (row(http)["truth"], row(http)["correct"]) == (["B", "C"], 0)
    assert say(http, item="q0", truth=None).status == 200
    assert row(http)["truth"] == "A"
    said_by = [(one["by"], one["truth"], one["status"]) for one in http.get("/v1/query/labels").json["rows"]]
    assert said_by == [("human:ann", "A", "current"), ("human", ["B", "C"], "replaced"), ("human", None, "withdrawal")]


def test_an_answer_is_marked_right_or_wrong_and_the_mark_withdrawn(http: Http) -> None:
    for correct in (False, True, None):
        assert say(http, call=call_hex(JUDGE), correct=correct, by="human:ann").status == 200
        assert row(http)["correct"] == correct
    details = http.get(f"/v1/calls/{call_hex(JUDGE)}").json
    assert details["scores"] == {"correct": None, "by": "human:ann"}
    assert say(http, call=call_hex(MEMBER), correct=True).status == 200
    assert http.get("/v1/query/majority_accuracy", {"run": "monday"}).json["n"] == 2
    assert say(http, call=call_hex(JUDGE), truth="B").status == 200
    assert row(http)["correct"] == 0


def test_numbers_are_keys_too(http: Http) -> None:
    assert say(http, item=7, truth="B").status == 200
    assert row(http, 7)["truth"] == "B"
    assert say(http, item="7", truth="B").code == "query"
    assert say(http, item="q1", run="monday", epoch=1, truth="B").status == 200
    assert row(http, "q1")["truth"] is None


@pytest.mark.parametrize(
    ("label", "why"),
    [
        ({"item": "q9", "truth": "A"}, "no item with the key"),
        ({"item": "q0"}, "one of truth and correct"),
        ({"truth": "A"}, "one of item and call"),
        ({"item": "q0", "call": "1", "truth": "A"}, "one of item and call"),
        ({"item": "q0", "truth": "A", "correct": True}, "one of truth and correct"),
        ({"item": "q0", "correct": True}, "answers are right or wrong"),
        ({"call": "ffff", "truth": "A"}, "there is no call"),
        ({"call": "zz", "truth": "A"}, "must be a call id"),
        ({"call": call_hex(JUDGE), "truth": "A", "run": "monday"}, "labelled as a whole"),
        ({"call": call_hex(JUDGE), "attempt": 3, "correct": True}, "there is no call"),
        ({"item": "q0", "truth": "A", "by": " "}, "by is"),
        ({"item": "q0", "truth": "A", "by": "a\nb"}, "by is"),
        ({"item": "q0", "truth": "A", "by": "a" * 101}, "by is"),
        ({"item": "q0", "truth": "A" * 9000}, "the limit is"),
        ({"call": call_hex(JUDGE), "correct": 1}, "correct"),
        ({"item": "q0", "truth": "A", "who": "ann"}, "who"),
        ({"item": ["q0"], "truth": "A"}, "item"),
        ([], "body"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_recorded(http: Http, label: Any, why: str) -> None:
    before = http.get("/v1/info").json["events"]
    answer = http.post("/v1/labels", label)
    assert answer.status == 400 and why in answer.json["error"]
    assert http.get("/v1/info").json["events"] == before


def test_nothing_is_changed_by_get_nor_by_another_page(http: Http) -> None:
    assert http.get("/v1/labels", {"item": "q0", "truth": "A"}).status == 405
    assert http.post("/v1/labels", {"item": "q0", "truth": "A"}, Origin="http://evil.example").code == "origin"
    assert http.post("/v1/labels", {"item": "q0", "truth": "A"}, Host="evil.example").code == "host"
    assert http.post("/v1/labels", b"item=q0", **{"Content-Type": "text/plain"}).code == "media_type"
    assert http.post("/v1/labels", {"item": "q0", "truth": "A" * (1 << 17)}).code == "too_large"
    assert row(http)["truth"] is None


def test_with_keys_the_token_is_wanted(tmp_path: pathlib.Path) -> None:
    make_keys(tmp_path / "keys", ["alice"], new_pair)
    with aggregator(tmp_path / "rec", "--keys", str(tmp_path / "keys")) as (ready, _):
        assert say(Http(ready["http_port"]), item="q0", truth="A").code == "token"
        http = Http(ready["http_port"], Authorization=f"Bearer {read_token(tmp_path / 'keys')}")
        assert say(http, item="q0", truth="A").code == "query"


def test_labels_survive_the_death_of_the_analyst_and_of_the_aggregator(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "rec"
    with aggregator(directory) as (ready, process):
        http = record(ready)
        assert say(http, item="q0", truth="A").status == 200
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        assert et.connect(ready["endpoint"]).item("q0").items()[0]["truth"] == "A"  # it waits for the next one
        assert say(http, item="q1", truth="B").json["seq"] == 1, "a producer of its own"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    assert {one["item"]: one["truth"] for one in et.open(directory).items()}["q1"] == "B"
    with aggregator(directory) as (ready, _):
        http = Http(ready["http_port"])
        assert (row(http, "q0")["truth"], row(http, "q1")["truth"]) == ("A", "B")
        states = [(one["events"], one["status"]) for one in http.get("/v1/producers").json["rows"]]
        assert states.count((1, "ended")) == 2


def live(story: Story) -> Parts:
    """Everything is in memory, and nothing on disk."""
    parts = Parts(cast("Recording", None))
    parts.live = story.forest()
    return parts


def test_where_nobody_records_or_too_much_waits_it_is_said() -> None:
    story = Story()
    story.question("q", ["A"])
    event = event_of(live(story), {"item": "q", "truth": "A"}, 1)
    with pytest.raises(NobodyRecords, match="only read here") as refused:
        Handing(None).give(event)
    assert (refused_for(refused.value).status, refused_for(refused.value).code) == (409, "read_only")
    handed = Handed("recording")
    handing = Handing(handed.given)
    for _ in range(MAX_WAITING):
        handing.give(event)
    with pytest.raises(TooMany):
        handing.give(event)
    handed.close()


def test_an_analyst_that_is_killed_while_it_writes_spoils_nothing_of_the_next_one() -> None:
    story = Story()
    story.question("q", ["A"])
    event = event_of(live(story), {"item": "q", "truth": "A" * 8000}, 1)
    handed = Handed("recording")
    os.write(handed.given, b"\nhalf a batch, " + b"=" * 100)
    one, other = Handing(handed.given), Handing(handed.given)
    one.give(event)
    other.give(event)
    one.give(event)
    os.write(handed.given, b"no line's end")
    assert [batch.first_seq for batch in handed.take()] == [1, 1, 2]
    assert list(handed.take()) == []
    other.give(event)
    assert [batch.first_seq for batch in handed.take()] == [2]
    handed.close()


def test_in_the_recording_a_label_is_a_life_of_its_own(http: Http, tmp_path: pathlib.Path) -> None:
    told = [say(http, item="q0", truth=truth).json for truth in "AB"]
    records = [one for one in Recording.open(tmp_path / "rec").records() if isinstance(one, Record)]
    mine = [one for one in records if one.producer.hex() == told[0]["producer"]]
    assert [(one.kind, one.first_seq) for one in mine] == [
        (BEGIN, 1), (BATCH, 1), (END, 1), (BEGIN, 2), (BATCH, 2), (END, 2),
    ]  # fmt: skip
    assert [one.end for one in mine if one.kind == BATCH] == [one["position"] for one in told]
