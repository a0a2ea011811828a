"""Of all judge calls whether their decision is right, as `correctness` and `questions.judging` say it of each."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from embertrace.analysis.arrays.feeding import feeding_of
from embertrace.analysis.arrays.votes import ABSTAINED, ANSWERED, UNKNOWN, answers_at, keys_of
from embertrace.analysis.correctness import Correctness, share_of
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.items import NONE
from embertrace.analysis.table.shape import OPEN, RESULT_OUTCOME
from embertrace.analysis.trees import SCORE, Trees

DECIDED, NOT_LABELLED, IS_OPEN, HAS_FAILED, HAS_ABSTAINED, IS_UNKNOWN = range(6)
REASONS = ("", "unlabelled", "open", "failed", "abstained", "with unknown answers")
"""Why a call has no value, by code."""

UNSTATED, OTHER = -1, 2
"""What a call states of itself: 0 or 1, UNSTATED, or OTHER, a share between."""


class Decisions(NamedTuple):
    """By judge: `reason` (a code), `right` (0 or 1, where decided), and whether any answer could have been judged."""

    reason: Array
    right: Array
    labelled: Array


def decisions_of(trees: Trees, right: Correctness) -> Decisions | None:
    """What judges decided. None where a callable decides, a label names a call, or a share is neither 0 nor 1."""
    if not can_decide(trees, right):
        return None
    kept = ("decisions", right.answers.name)
    if kept not in trees.kept:
        judges = feeding_of(trees).judge
        between = (stated_at(trees, judges) == OTHER).any()
        trees.kept[kept] = None if between else decide(trees, right, judges)
    found: Decisions | None = trees.kept[kept]
    return found


def can_decide(trees: Trees, right: Correctness) -> bool:
    """Whether answers and truths alone say what is right: no callable decides, and no label names one call."""
    return right.answers.name is not None and not right.grades and not trees.labels.name_calls


def decide(trees: Trees, right: Correctness, places: Array) -> Decisions:
    """Of the calls in some places, none of which states a share between 0 and 1."""
    stated = stated_at(trees, places)
    outcome = trees.shape.outcome[places]
    truth = truths_at(trees, places)
    labelled = (stated != UNSTATED) | (truth != NONE)
    reason = np.full(len(places), HAS_FAILED, np.uint8)
    reason[outcome == OPEN] = IS_OPEN
    ended = np.flatnonzero(outcome == RESULT_OUTCOME)
    status = np.full(len(places), UNKNOWN, np.uint8)
    status[ended], _ = answers_at(trees, right.answers, places[ended])
    of_status = np.array([NOT_LABELLED, HAS_ABSTAINED, IS_UNKNOWN], np.uint8)
    assert (ANSWERED, ABSTAINED, UNKNOWN) == (0, 1, 2)
    reason[ended] = of_status[status[ended]]
    says = np.flatnonzero((outcome == RESULT_OUTCOME) & (stated != UNSTATED))
    value = np.zeros(len(places), np.int64)
    value[says], reason[says] = stated[says], DECIDED
    asked = np.flatnonzero((reason == NOT_LABELLED) & (truth != NONE))
    _, key = answers_at(trees, right.answers, places[asked])
    verdict = accepted(trees, right, truth[asked], key)
    value[asked] = verdict == 1
    reason[asked[verdict != UNSTATED]] = DECIDED
    return Decisions(reason, value, labelled)


def truths_at(trees: Trees, places: Array) -> Array:
    """Of each call the number of the truth of its item: a label's, else its own."""
    items = trees.shape.item[places]
    labels = trees.labels
    if not len(labels):
        found: Array = trees.items.truth()[items]
        return found
    contexts, runs = trees.shape.contexts, trees.shape.run[places].astype(np.int64)
    pairs, inverse = np.unique(runs << 32 | items, return_inverse=True)
    truths = [
        labels.truth_of_item(contexts.items.mapping(pair & 0xFFFFFFFF), contexts.runs[pair >> 32])
        for pair in pairs.tolist()
    ]
    numbers = np.array([trees.items.number_of_truth(truth) for truth in truths], np.int64)
    return numbers[inverse]


def accepted(trees: Trees, right: Correctness, truth: Array, key: Array) -> Array:
    """Whether answers (by number) are the truth (by number): 1 or 0, UNSTATED where that can't be known. Each pair is
    compared once."""
    keys = keys_of(trees, right.answers).values
    pairs, inverse = np.unique(truth.astype(np.int64) << 32 | key, return_inverse=True)
    verdicts = []
    for pair in pairs.tolist():
        answer = keys[pair & 0xFFFFFFFF]
        assert answer is not None
        verdict = right.by_truth(trees.items.truths[pair >> 32], answer)
        verdicts.append(UNSTATED if verdict is None else int(verdict))
    return np.array(verdicts, np.int64)[inverse]


def stated_at(trees: Trees, places: Array) -> Array:
    """What calls state of themselves: by a score, else in the data of their end."""
    found = np.full(len(trees.shape), UNSTATED, np.int64)
    ended = places[trees.shape.end_row[places] >= 0]
    numbers = trees.texts.numbers(trees.shape.end_row[ended])
    found[ended] = np.array(trees.texts.read("correct", _code), np.int64)[numbers]
    of_metrics, _ = trees.places_of_metrics
    scoring = np.flatnonzero((of_metrics >= 0) & (trees.metric_kinds == SCORE))
    numbers = trees.texts.numbers(trees.metric_rows[scoring])
    says = np.array(trees.texts.read("has correct", lambda data: "correct" in data), bool)[numbers]
    codes = np.array(trees.texts.read("correct", _code), np.int64)[numbers]
    given = np.array(trees.texts.read("gives correct", lambda data: data.get("correct") is not None), bool)[numbers]
    last: dict[int, tuple[bool, int]] = {}
    if says.any():
        told = zip(of_metrics[scoring[says]].tolist(), given[says].tolist(), codes[says].tolist(), strict=True)
        last = {place: (gives, code) for place, gives, code in told}
    for place, (gives, code) in last.items():
        if gives:  # else what the end says stands
            found[place] = code
    return found[places]


def _code(data: Mapping[str, Any]) -> int:
    value = data.get("correct")
    share = None if value is None else share_of(value)
    if share is None:
        return UNSTATED
    return int(share) if share in (Fraction(0), Fraction(1)) else OTHER
