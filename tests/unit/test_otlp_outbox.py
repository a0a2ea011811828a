"""What waits to be sent to a receiver that is down, busy, slow, strict or too small. No clock, no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from embertrace.interop.live.outbox import Message, Outbox
from embertrace.interop.otlp_http import MAX_PAUSE_S, Answer, Poster

OK = Answer(200, None, b"")


class Wire:
    """A receiver: gives the answers in turn, then 200; `bodies` are those that it took."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.bodies: list[bytes] = []
        self.tries = 0

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        self.tries += 1
        answer = self.answers.pop(0) if self.answers else OK
        if isinstance(answer, Exception):
            raise answer
        if answer.status == 200:
            self.bodies.append(body)
        return answer


def message(wire: Wire, parts: str = "abcd", *, is_spans: bool = True) -> Message:
    pack: Callable[[Sequence[Any]], bytes] = lambda given: "".join(given).encode()  # noqa: E731
    return Message(Poster("http://127.0.0.1:1", post=wire.post), pack, parts, is_spans)


def run(outbox: Outbox, until: float) -> None:
    """Step as a loop would, with the pauses taken as long as they are."""
    now = 0.0
    while (due := outbox.due_s(now)) is not None and now + due <= until:
        now += due
        outbox.step(now)


BUSY = [Answer(status, None, b"") for status in (429, 502, 503, 504)]
STRICT = [Answer(status, None, b"") for status in (401, 404)]


@pytest.mark.parametrize("failure", [OSError("refused"), TimeoutError("timed out"), *BUSY, *STRICT])
def test_a_receiver_that_does_not_take_it_is_asked_again_and_nothing_is_lost(failure: Any) -> None:
    wire, outbox = Wire(*[failure] * 5), Outbox()
    outbox.put([message(wire), message(wire, "xy", is_spans=False)])
    outbox.step(0.0)
    assert outbox.is_failing and outbox.trouble.startswith("http://127.0.0.1:1/v1/traces: ")
    outbox.step(0.1)
    assert wire.tries == 1, "it is left alone meanwhile"
    run(outbox, 3600)
    assert wire.bodies == [b"abcd", b"xy"] and not outbox and not outbox.trouble
    counts = outbox.counts
    assert (counts.spans, counts.evaluations, counts.retries, counts.requests) == (4, 2, 5, 7)


def test_pauses_double_and_have_an_end_and_so_has_patience() -> None:
    wire, outbox = Wire(*[OSError("nobody")] * 1000), Outbox(give_up_s=600)
    outbox.put([message(wire)])
    run(outbox, 10_000)
    assert outbox.counts.given_up == 4 and not outbox
    assert 600 / MAX_PAUSE_S <= wire.tries <= 600 / MAX_PAUSE_S + 7


def test_the_receiver_says_how_long_it_wants_to_be_left_alone_within_bounds() -> None:
    outbox = Outbox()
    outbox.put([message(Wire(Answer(429, "7", b""), Answer(503, "86400", b"")))])
    outbox.step(0.0)
    assert outbox.due_s(0.0) == 7.0
    outbox.step(7.0)
    assert outbox.due_s(7.0) == MAX_PAUSE_S


def test_what_is_too_large_is_halved_and_what_is_refused_is_counted_with_its_reason() -> None:
    wire, outbox = Wire(Answer(413, None, b""), Answer(400, None, b"bad span")), Outbox()
    outbox.put([message(wire), message(wire, "z")])
    outbox.step(0.0)
    outbox.step(0.0)
    assert "bad span" in outbox.trouble
    run(outbox, 1.0)
    assert wire.bodies == [b"cd", b"z"]
    assert (outbox.counts.refused, outbox.counts.spans) == (2, 3)


def test_an_empty_outbox_has_nothing_to_do() -> None:
    outbox = Outbox()
    outbox.step(0.0)
    assert outbox.due_s(0.0) is None and not outbox.counts.requests
