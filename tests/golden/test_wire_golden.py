"""The bytes of the wire format, held by files: `python tests/golden/test_wire_golden.py` writes them anew.

Change them only together with the version in the format, and keep readers for what is out there.
"""

from __future__ import annotations

import pathlib
import sys

import pytest

from embertrace import payload
from embertrace.event import CALL, ERROR, METRIC, RESULT, Frame
from embertrace.wire.batch import BATCH, GAP, pack_batch, unpack_batch
from embertrace.wire.carrier import Carrier, Shared, pack_carrier, unpack_carrier
from embertrace.wire.clock import Offset, Reading, pack_offset, unpack_offset
from embertrace.wire.context import Added, pack_context, unpack_context
from embertrace.wire.control import (
    Ack,
    Alive,
    Control,
    End,
    Hello,
    Inspect,
    Locate,
    Loss,
    Refuse,
    State,
    Welcome,
    pack_control,
    unpack_control,
)
from embertrace.wire.event import RawEvent, iter_events, pack_event, unpack_event
from embertrace.wire.rpc import Answer, Request, pack_answer, pack_request, unpack_answer, unpack_request

DATA = pathlib.Path(__file__).parent / "data"
TRACE = bytes(range(16))
PRODUCER = bytes(range(100, 116))
FRAME = Frame("panel", "ensemble", "ensemble_1", 0x1122334455667788, 0, 0)
ITEM = payload.pack({"key": "q-17", "truth": "Paris"})
CONTEXT = Added(frames=(FRAME,), run="run-1", item=ITEM, tags=payload.pack({"lang": "en"}), member=False)

SAMPLED = Added(run="run-1", item=ITEM, share=0.1)

HEAD = (TRACE, 0xFFEEDDCCBBAA9988, FRAME.call_id, 1, 0, 2, "gpt", "member", "members")
EVENTS = {
    "call": RawEvent(
        CALL, 1_700_000_000_123_456_789, *HEAD, None, 0, 7, (3, 4), pack_context(CONTEXT),
        payload.pack({"args": ["Capital of France?"], "kwargs": {"n": 2**70}}),
    ),
    "result": RawEvent(
        RESULT, 1_700_000_000_223_456_789, *HEAD, 100_000_000, 2, 0, (), b"",
        payload.pack({"answer": "Paris", "result": {"text": "Paris", "p": 0.5}}),
    ),
    "error": RawEvent(
        ERROR, 1.5, *HEAD, 0.25, 0, 0, (), b"", payload.pack({"error": {"type": "E", "message": "m", "traceback": ""}})
    ),
    "sampled": RawEvent(
        CALL, 1_700_000_000_123_456_789, *HEAD, None, 0, 0, (), pack_context(SAMPLED), payload.pack({"args": []})
    ),
    "filtered": RawEvent(
        RESULT, 1_700_000_000_223_456_789, *HEAD, 100_000_000, 5, 0, (), pack_context(Added(withheld=2)), b""
    ),
    "metric": RawEvent(METRIC, 1, None, 0, 0, 0, 0, 0, "", "", "default", None, 0, 0, (), b"", payload.pack({"a": 1})),
}  # fmt: skip
CONTROL: dict[str, Control] = {
    "hello": Hello(PRODUCER, 3, 17, "rec", "host", 42, "embertrace 0.1.0", 8, number=5),
    "welcome": Welcome("rec", "monday", 16, 5558, 5559, PRODUCER, None, "agg.example", number=5),
    "ack": Ack(PRODUCER, 16, 1_700_000_000_000_000_000),
    "alive": Alive(PRODUCER, Reading(1_700_000_000_000_000_000, 7, 8), Offset(17, -5, 6)),
    "end": End(PRODUCER, 16),
    "locate": Locate(),
    "inspect": Inspect(),
    "state": State(
        "rec", "monday", "0.1.0", 42, 1_700_000_000_000_000_000, 1_700_000_060_000_000_000, 1_700_000_059_000_000_000,
        4096, {"events": 17, "gaps": 3}, 1 << 30, (Loss(PRODUCER, 3, "host", 43),),
    ),
    "refuse": Refuse("speaks version 1", PRODUCER),
}  # fmt: skip
CARRIER = Carrier(
    TRACE, Shared((FRAME,), "run-1", ITEM, payload.pack({"lang": "en"}), "tcp://127.0.0.1:5557"), 2, 7, (3, 4)
)  # fmt: skip


PASSED_OVER = Carrier(TRACE, Shared((), "run-1", ITEM, settings={"sample": 0.1}, share=0.0))


def golden() -> dict[str, bytes]:
    """File name → bytes, as this library writes them."""
    both = pack_event(EVENTS["call"]) + pack_event(EVENTS["result"])
    return {
        **{f"event-{name}.bin": pack_event(event) for name, event in EVENTS.items()},
        **{f"control-{name}.bin": pack_control(message) for name, message in CONTROL.items()},
        "batch.bin": pack_batch(BATCH, PRODUCER, 5, 2, both),
        "gap.bin": pack_batch(GAP, PRODUCER, 7, 3, payload.pack({"reason": "spool full"})),
        "offset.bin": pack_offset(Offset(17, -5, 6)),
        "carrier.bin": pack_carrier(CARRIER),
        "carrier-passed-over.bin": pack_carrier(PASSED_OVER),
        "rpc-request.bin": pack_request(Request(1, "query", {"verb": "runs"})),
        "rpc-result.bin": pack_answer(Answer(1, {"value": 0.5})),
        "rpc-error.bin": pack_answer(Answer(1, error="no such verb", code="query")),
    }


@pytest.mark.parametrize("name", sorted(golden()))
def test_the_bytes_are_those_of_the_file(name: str) -> None:
    assert golden()[name] == (DATA / name).read_bytes()


def stored(name: str) -> bytes:
    return (DATA / name).read_bytes()


def test_stored_bytes_read_back() -> None:
    for name, event in EVENTS.items():
        assert unpack_event(stored(f"event-{name}.bin")) == event
    for name, message in CONTROL.items():
        assert unpack_control(stored(f"control-{name}.bin")) == message
    batch = unpack_batch(stored("batch.bin"))
    assert (batch.first_seq, batch.last_seq) == (5, 6)
    assert list(iter_events(batch.payload, batch.count)) == [EVENTS["call"], EVENTS["result"]]
    assert unpack_batch(stored("gap.bin")).kind == GAP
    assert unpack_offset(stored("offset.bin")) == Offset(17, -5, 6)
    assert unpack_carrier(stored("carrier.bin")) == CARRIER
    assert unpack_carrier(stored("carrier-passed-over.bin")) == PASSED_OVER
    assert unpack_context(EVENTS["call"].context) == CONTEXT
    assert unpack_context(EVENTS["sampled"].context) == SAMPLED
    assert unpack_request(stored("rpc-request.bin")) == Request(1, "query", {"verb": "runs"})
    assert unpack_answer(stored("rpc-result.bin")).result == {"value": 0.5}
    assert unpack_answer(stored("rpc-error.bin")).code == "query"


if __name__ == "__main__":
    for file, packed in golden().items():
        (DATA / file).write_bytes(packed)
    sys.stdout.write(f"wrote {len(golden())} files to {DATA}\n")
