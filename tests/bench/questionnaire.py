"""The data of the analysis benchmark: questions put to an ensemble of three and a judge, as a recording and as a frame.

Thirteen events a question: a pipeline with an item (key and truth), an ensemble, three members, a judge that follows
the ensemble, a score. Members are right in 70% of the cases and the judge in 80%. Everything derives from the number
of a question, so that the recording and the peers' frame hold the same.

A recording is packed by repeating a template: the events of one question, packed as tracing packs them, in which the
bytes of ids, times, answers and keys are put in for many questions at once.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from embertrace import payload
from embertrace.event import CALL, METRIC, RESULT
from embertrace.recording import BATCH, RecordingWriter
from embertrace.wire.context import Added, pack_context
from embertrace.wire.event import RawEvent, pack_event

EVENTS = 13
"""Of one question."""
PER_BATCH = 100
"""Questions in one batch: a sender that is busy fills a few hundred KiB."""
PER_PIECE = 20_000
"""Questions made at once."""
PRODUCERS = 16
START_NS = 1_700_000_000_000_000_000
CHOICES = 4

CALLS = ("root", "panel", "m0", "m1", "m2", "judge")
_IDS = {name: 0xE1E1E1E1_00000000 + place for place, name in enumerate(CALLS)}
_TRACE = b"\xe2" * 16
_STAMP = 0x17A3A3A3_00000000
_ANSWERS = {"m0": "option-0", "m1": "option-1", "m2": "option-2", "judge": "option-7", "truth": "option-8"}
_KEY = "question-########"
_SCORE = 0.123456789


def questions(first: int, count: int) -> dict[str, Any]:
    """What is known of questions: `number`, ids of calls (n × 6), answers (0 … 3) by who gave them, `score`."""
    number = np.arange(first, first + count, dtype=np.uint64)
    random = np.random.default_rng([7, first])
    truth = random.integers(0, CHOICES, count)
    said = {"number": number, "truth": truth}
    for name, right in (("m0", 0.7), ("m1", 0.7), ("m2", 0.7), ("judge", 0.8)):
        other = (truth + random.integers(1, CHOICES, count)) % CHOICES
        said[name] = np.where(random.random(count) < right, truth, other)
    said["score"] = (said["judge"] == truth).astype(np.float64)
    said["ids"] = random.integers(1 << 63, (1 << 64) - 1, (count, len(CALLS)), dtype=np.uint64)
    return said


def pieces(events: int) -> Iterator[dict[str, Any]]:
    """The questions that make so many events, rounded up, piece by piece."""
    wanted = -(-events // EVENTS)
    for first in range(0, wanted, PER_PIECE):
        yield questions(first, min(PER_PIECE, wanted - first))


def write_recording(directory: pathlib.Path, events: int) -> int:
    """Write a recording of so many events (rounded up to whole questions); returns how many."""
    written = 0
    seqs = [1] * PRODUCERS
    with RecordingWriter(directory, clock_ns=lambda: START_NS) as writer:
        for piece in pieces(events):
            packed = packed_questions(piece)
            for place in range(0, len(packed), PER_BATCH):
                batch = packed[place : place + PER_BATCH]
                producer = (written // EVENTS // PER_BATCH) % PRODUCERS
                count = len(batch) * EVENTS
                writer.append(BATCH, bytes([producer + 1]) * 16, seqs[producer], count, batch.tobytes())
                seqs[producer] += count
                written += count
            writer.sync()
    return written


def packed_questions(piece: dict[str, Any], text: str = "") -> Any:
    """The packed events of questions, one question a row. `text` is a further argument of each call."""
    template = b"".join(map(pack_event, _template(text)))
    rows = np.tile(np.frombuffer(template, np.uint8), (len(piece["number"]), 1))
    for place, marker in enumerate(_IDS.values()):
        _put(rows, template, marker.to_bytes(8, "big"), _bytes_of(piece["ids"][:, place]))
    _put(rows, template, _TRACE, np.hstack([_bytes_of(piece["ids"][:, 0]), _bytes_of(piece["number"])]))
    for place in range(EVENTS):
        stamps = START_NS + (piece["number"] * EVENTS + place) * 1000
        _put(rows, template, (_STAMP + place).to_bytes(8, "big"), _bytes_of(stamps))
    letters = np.frombuffer(b"abcd", np.uint8)
    for name, marker in _ANSWERS.items():
        ends = letters[piece[name]][:, None]
        _put(rows, template, marker.encode(), np.hstack([_constant(b"option-", len(rows)), ends]))
    digits = np.stack([(piece["number"] // 10**place) % 10 for place in range(7, -1, -1)], axis=1) + ord("0")
    _put(rows, template, _KEY.encode(), np.hstack([_constant(b"question-", len(rows)), digits.astype(np.uint8)]))
    score = payload.pack(_SCORE)[1:]
    _put(rows, template, score, _bytes_of(piece["score"].view(np.uint64)))
    return rows


def _put(rows: Any, template: bytes, marker: bytes, values: Any) -> None:
    at = template.find(marker)
    assert at >= 0, f"{marker!r} is not in the template"
    while at >= 0:
        rows[:, at : at + len(marker)] = values
        at = template.find(marker, at + 1)


def _bytes_of(values: Any) -> Any:
    return np.ascontiguousarray(values.astype(">u8")).view(np.uint8).reshape(len(values), 8)


def _constant(text: bytes, rows: int) -> Any:
    return np.tile(np.frombuffer(text, np.uint8), (rows, 1))


def _template(text: str) -> list[RawEvent]:
    """One question, with markers where questions differ."""
    names = {
        "root": ("pipeline", "function", "default"),
        "panel": ("panel", "ensemble", "ensemble_1"),
        **{f"m{place}": (f"member_{place}", "member", "members") for place in range(3)},
        "judge": ("chooser", "judge", "judge_1"),
    }
    above = {"panel": "root", "m0": "panel", "m1": "panel", "m2": "panel", "judge": "root"}
    slots = {"root": 0, "panel": 0, "m0": 0, "m1": 1, "m2": 2, "judge": 1}
    children = {"root": 2, "panel": 3}
    answers = {**_ANSWERS, "root": _ANSWERS["judge"], "panel": [_ANSWERS[f"m{place}"] for place in range(3)]}
    item = payload.pack({"key": _KEY, "truth": _ANSWERS["truth"]})
    found: list[RawEvent] = []

    def emit(kind: int, name: str, data: Any) -> None:
        ended = kind == RESULT
        found.append(
            RawEvent(
                kind, _STAMP + len(found), _TRACE, _IDS[name], _IDS[above[name]] if name in above else 0, 0, 0,
                slots[name], *names[name], 12_345_678 if ended else None, children.get(name, 0) if ended else 0,
                _IDS["panel"] if name == "judge" else 0, None,  # type: ignore[arg-type]
                pack_context(Added(run="bench", item=item)) if (kind, name) == (CALL, "root") else b"",
                payload.pack(data),
            )
        )  # fmt: skip

    begun = {"args": [_KEY, text] if text else [_KEY], "kwargs": {}}
    emit(CALL, "root", begun)
    emit(CALL, "panel", begun)
    for place in range(3):
        emit(CALL, f"m{place}", begun)
        emit(RESULT, f"m{place}", {"result": answers[f"m{place}"]})
    emit(RESULT, "panel", {"result": answers["panel"]})
    emit(CALL, "judge", begun)
    emit(RESULT, "judge", {"result": answers["judge"]})
    emit(METRIC, "judge", {"accuracy": _SCORE})
    emit(RESULT, "root", {"result": answers["root"]})
    return found
