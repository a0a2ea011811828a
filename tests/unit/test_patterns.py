"""Patterns of others may search for so long; those of one's own process for as long as they like."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

import embertrace as et
from embertrace.analysis import patterns
from embertrace.analysis.patterns import Pattern, bound_patterns
from embertrace.errors import QueryError

ENDLESS = r"(a+)+$"
SHORT_S = 0.05


@pytest.fixture
def bounded() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    bound_patterns(SHORT_S)
    try:
        yield
    finally:
        patterns._bound_s = None
        signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("bounded")
def test_a_pattern_that_tries_for_ever_is_one_error() -> None:
    pattern = Pattern(ENDLESS)
    assert pattern.find("aaa") == "aaa"
    with pytest.raises(QueryError, match=r"searched for more than 0\.05 s, at last in a text of 41 characters"):
        pattern.find("a" * 40 + "!")
    assert Pattern(ENDLESS).find("aaa") == "aaa"
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.usefixtures("bounded")
def test_a_question_whose_pattern_was_stopped_can_be_asked_otherwise() -> None:
    with et.collect_events() as events:
        for key, answer in enumerate(["a" * 40 + "!", "aaa"]):
            with et.item(key, truth="aaa"), et.operator("panel", type="ensemble") as panel:
                panel.result([answer, answer])
    analysis = et.OperatorAnalysis(events)
    with pytest.raises(QueryError, match="nested repetitions"):
        analysis.majority_accuracy(answer=f"regex:{ENDLESS}")
    assert analysis.majority_accuracy(answer=r"regex:a+") == 0.5
    assert analysis.majority_accuracy() == 0.5


def test_ones_own_process_keeps_its_alarm() -> None:
    before = signal.getsignal(signal.SIGALRM)
    assert Pattern(r"(\w)\w*").find("answer") == "a"
    assert signal.getsignal(signal.SIGALRM) is before
