"""Whatever events hold: they are taken into a forest, and every question about it is answered or refused."""

from __future__ import annotations

import logging
import pathlib
from random import Random

import msgpack
import pytest

from aggregator.api import METHODS, State
from aggregator.rpc import respond
from embertrace import payload
from embertrace.analysis import Forest
from embertrace.analysis.results import plain, result_from_data
from embertrace.analysis.verbs import VERBS, answer
from embertrace.errors import QueryError
from embertrace.event import Frame
from embertrace.recording import BATCH, GAP, Recording, RecordingWriter
from embertrace.wire.batch import gap_payload
from embertrace.wire.context import Added, pack_context
from embertrace.wire.event import RawEvent, pack_event
from embertrace.wire.rpc import Request, pack_request, unpack_answer
from support.mutations import mutate, twist

ITEM = payload.pack({"key": 3, "truth": "a", "epoch": 1, "group": "g"})
FRAMES = (Frame("ensemble", "ensemble", "vote", 7, 0, 1),)
METRICS = (
    {"name": "loss", "value": 0.5},
    {"label": {"key": 3, "truth": "b", "by": "x"}},
    {"run": {"id": "run", "name": "monday", "status": "finished", "started": 1.0}},
)
QUESTIONS = [
    *({"verb": verb, "options": {"pool": True}} for verb in VERBS),
    {"verb": "item", "options": {"key": 3, "pool": True}},
    {
        "verb": "items",
        "filters": [["stage", "vote"], ["between", 0, 2.5], ["tag", "who", 1], ["item", 3], ["run", "r"]],
    },
    *({"verb": "judge_accuracy", "options": {"answer": rule, "pool": True}} for rule in ("number", "regex:(.)", "f")),
    {"verb": "failures", "options": {"attempts": "all"}},
]
REQUESTS = [
    *(pack_request(Request(1, "query", question)) for question in QUESTIONS),
    pack_request(Request(2, "events", {"start": 0, "since_ns": 5})),
    pack_request(Request(3, "progress", {"run": "run"})),
    *(pack_request(Request(4, method, {})) for method in METHODS),
]


def family(random: Random) -> list[bytes]:
    """An ensemble of three members and its judge, whose ids hang together, with their scores and the run."""
    first = random.randrange(1, 2**63)
    context = pack_context(Added((), "run", ITEM, payload.pack({"who": 1})))
    events = []
    for number, (kind, parent) in enumerate(
        [("ensemble", 0), ("member", 1), ("member", 1), ("member", 1), ("judge", 0)]
    ):
        call, above = first + number, first if parent else 0
        links = (first,) if kind == "judge" else None
        begin = (
            0,
            10**18 + number,
            b"t" * 16,
            call,
            above,
            0,
            0,
            number,
            f"op{number}",
            kind,
            "vote",
            None,
            0,
            0,
            links,
        )
        data = payload.pack({"result": random.choice(["a", "b", 1, None]), "answer": "a"})
        events.append(pack_event((*begin, context, payload.pack({"args": [1], "kwargs": {}}))))
        events.append(pack_event((random.choice((1, 1, 2)), *begin[1:11], 5000, 3, 0, links, b"", data)))
        events += [pack_event((3, 1, *begin[2:15], context, payload.pack(fields))) for fields in METRICS]
    return events


def hostile(random: Random, events: list[bytes]) -> list[bytes]:
    """The same events, a third of them changed; all are still one msgpack object each."""
    found = []
    for packed in events:
        changed = mutate(random, packed) if random.random() < 0.33 else packed
        try:
            msgpack.unpackb(changed, strict_map_key=False)
        except (ValueError, TypeError, msgpack.UnpackException):
            changed = packed
        found.append(changed)
    return found


def recording(directory: pathlib.Path, seed: int, families: int) -> State:
    random = Random(seed)
    with RecordingWriter(directory, clock_ns=lambda: 1) as writer:
        for number in range(families):
            events = hostile(random, family(random))
            writer.append(BATCH, number.to_bytes(16, "big"), 1, len(events), b"".join(events))
        writer.sync()
    opened = Recording.open(directory)
    state = State(opened)
    state.extend(list(opened.records()), opened.end())  # type: ignore[arg-type]
    return state


@pytest.mark.parametrize("seed", range(12))
def test_every_question_about_hostile_events_is_answered(
    tmp_path: pathlib.Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    state = recording(tmp_path / "rec", seed, 30)
    for question in REQUESTS:
        with caplog.at_level(logging.ERROR):
            found = unpack_answer(respond(state, question))
        assert found.code != "internal", f"seed {seed}: {msgpack.unpackb(question)}\n{caplog.text[-3000:]}"


@pytest.mark.parametrize(
    "params",
    [
        {"verb": "runs", "options": 2**63},
        {"verb": "runs", "filters": 1.5},
        {"verb": "runs", "filters": {"a": 1}},
        {"verb": "runs", "filters": [[{"a": 1}]]},
        {"verb": ["runs"]},
    ],
)
def test_questions_of_the_wrong_shape_are_refused(tmp_path: pathlib.Path, params: dict[str, object]) -> None:
    state = recording(tmp_path / "rec", 1, 1)
    assert unpack_answer(respond(state, pack_request(Request(1, "query", params)))).code == "query"


def test_counts_beyond_64_bits_are_told(tmp_path: pathlib.Path) -> None:
    with RecordingWriter(tmp_path / "rec", clock_ns=lambda: 1) as writer:
        for number in range(1, 4):
            end = RawEvent(1, 1, b"t" * 16, number, 0, 0, 0, 0, "op", "type", "stage", 1, 2**64 - 1, 0, (), b"", b"")
            writer.append(BATCH, number.to_bytes(16, "big"), 1, 1, pack_event(end))
            writer.append(GAP, number.to_bytes(16, "big"), 2, 2**63 - 2, gap_payload("lost"))
        writer.sync()
    opened = Recording.open(tmp_path / "rec")
    state = State(opened)
    state.extend(list(opened.records()), opened.end())  # type: ignore[arg-type]
    for method, count, expected in (("progress", "missing", 3 * (2**64 - 1)), ("info", "gaps", 3 * (2**63 - 2))):
        assert int(unpack_answer(respond(state, pack_request(Request(1, method, {})))).result[count]) == expected


def test_every_hostile_question_is_answered(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    state = recording(tmp_path / "rec", 1, 3)
    for seed in range(4000):
        random = Random(seed)
        question = (mutate if seed % 2 else twist)(random, random.choice(REQUESTS))
        with caplog.at_level(logging.ERROR):
            found = unpack_answer(respond(state, question))
        assert found.code != "internal", f"seed {seed}: {question[:300]!r}\n{caplog.text[-3000:]}"
        assert len(found.error or "") <= 2000


def test_counts_beyond_64_bits_are_in_every_answer(tmp_path: pathlib.Path) -> None:
    forest = Forest()
    for number in range(3):
        forest.note_gap(bytes([number]) * 16, 1, 2**63 - 1)
    forest.unplaced = 3 * (2**63 - 1)
    result = result_from_data(msgpack.unpackb(msgpack.packb(answer(forest, {"verb": "runs"}))))
    assert result.left_out == {"events without a call": 3 * (2**63 - 1)}
    assert result.notes[0].startswith(f"based on 0.0% of events: {2**63 - 1} dropped at producer 00000000")
    health = result_from_data(msgpack.unpackb(msgpack.packb(answer(forest, {"verb": "health"}))))
    assert health["gaps"] in (3 * (2**63 - 1), str(3 * (2**63 - 1)))


def test_text_that_can_not_be_encoded_is_told_with_a_mark() -> None:
    told = plain({"\ud800": ["\udfff", payload.Summary("T", {"repr": "\ud800"}), 2**70]})
    assert msgpack.unpackb(msgpack.packb(told)) == {"?": ["?", "?", str(2**70)]}


@pytest.mark.parametrize("seed", range(200))
def test_any_answer_is_a_result_or_a_query_error(seed: int) -> None:
    random = Random(seed)
    sample = msgpack.packb(answer(Forest(), {"verb": random.choice(["runs", "health", "ensemble_disagreement"])}))
    try:
        data = msgpack.unpackb(mutate(random, sample), strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException):
        return
    try:
        result_from_data(data)
    except QueryError:
        pass
