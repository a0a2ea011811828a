"""Of all judge calls whether their decision is right, as `correctness` and `questions.judging` say it of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from embertrace.analysis.arrays.ballots import NO_TEXT
from embertrace.analysis.arrays.feeding import feeding_of
from embertrace.analysis.arrays.votes import ABSTAINED, ANSWERED, UNKNOWN, answers_in, keys_of
from embertrace.analysis.correctness import Correctness, share_of
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import each_once, together
from embertrace.analysis.table.items import NONE
from embertrace.analysis.table.shape import OPEN, RESULT_OUTCOME
from embertrace.analysis.trees import SCORE, Trees

DECIDED, NOT_LABELLED, IS_OPEN, HAS_FAILED, HAS_ABSTAINED, IS_UNKNOWN = range(6)
REASONS = ("", "unlabelled", "open", "failed", "abstained", "with unknown answers")
"""Why a call has no value, by code."""

UNSTATED, OTHER = -1, 2
"""What a call states of itself: 0 or 1, UNSTATED, or OTHER, a share between."""
NO_SCORE = -2


class Decisions(NamedTuple):
    """By call, or by kind of call: `reason` (a code), `right` (0 or 1, where decided), and whether any answer could
    have been judged."""

    reason: Array
    right: Array
    labelled: Array


class Facts(NamedTuple):
    """By call: all that it depends on whether a decision is right, under whichever rule. Outcome, what the call states
    of itself, the number of the truth, and that of the text of its result (NO_TEXT without one)."""

    outcome: Array
    stated: Array
    truth: Array
    text: Array

    def take(self, at: Array) -> Facts:
        return Facts(*(column[at] for column in self))


class Judges(NamedTuple):
    """Of each judge call, in order, its `kind`: those of one kind have the same facts, which are `facts` of it."""

    kind: Array
    facts: Facts


def facts_at(trees: Trees, places: Array) -> Facts:
    """Those of the calls in some places."""
    outcome = trees.shape.outcome[places]
    text, ended = np.full(len(places), NO_TEXT), np.flatnonzero(outcome == RESULT_OUTCOME)
    text[ended] = trees.texts.numbers(trees.shape.end_row[places[ended]])
    return Facts(outcome, stated_at(trees, places), truths_at(trees, places), text)


def judges_of(trees: Trees) -> Judges:
    """The facts about all judges; read once."""
    return trees.once(_judges)


def _judges(trees: Trees) -> Judges:
    facts = facts_at(trees, feeding_of(trees).judge)
    kind = together(facts.outcome, facts.stated - UNSTATED, facts.truth - NONE, facts.text - NO_TEXT)
    one_of_each = np.empty(int(kind.max(initial=-1)) + 1, np.int64)
    one_of_each[kind] = np.arange(len(kind))
    return Judges(kind, facts.take(one_of_each))


def decisions_of(trees: Trees, right: Correctness) -> Decisions | None:
    """What judges decided, by their kind (see `judges_of`). None where a callable decides, a label names a call, or a
    share is neither 0 nor 1."""
    if not can_decide(trees, right):
        return None
    return trees.keep(("decisions", right.answers.name), lambda: _decisions(trees, right))


def _decisions(trees: Trees, right: Correctness) -> Decisions | None:
    facts = judges_of(trees).facts
    return None if (facts.stated == OTHER).any() else decide(trees, right, facts)


def can_decide(trees: Trees, right: Correctness) -> bool:
    """Whether answers and truths alone say what is right: no callable decides, and no label names one call."""
    return right.answers.name is not None and not right.grades and not trees.labels.name_calls


def decide(trees: Trees, right: Correctness, facts: Facts) -> Decisions:
    """What calls decided, none of which states a share between 0 and 1."""
    outcome, stated, truth, text = facts
    labelled = (stated != UNSTATED) | (truth != NONE)
    reason = np.full(len(outcome), HAS_FAILED, np.uint8)
    reason[outcome == OPEN] = IS_OPEN
    ended = np.flatnonzero(outcome == RESULT_OUTCOME)
    status, key = answers_in(trees, right.answers, text[ended])
    of_status = np.array([NOT_LABELLED, HAS_ABSTAINED, IS_UNKNOWN], np.uint8)
    assert (ANSWERED, ABSTAINED, UNKNOWN) == (0, 1, 2)
    reason[ended] = of_status[status]
    says = np.flatnonzero((outcome == RESULT_OUTCOME) & (stated != UNSTATED))
    value = np.zeros(len(outcome), np.int64)
    value[says], reason[says] = stated[says], DECIDED
    wanted = (reason[ended] == NOT_LABELLED) & (truth[ended] != NONE)
    asked = ended[wanted]
    verdict = accepted(trees, right, truth[asked], key[wanted])
    value[asked] = verdict == 1
    reason[asked[verdict != UNSTATED]] = DECIDED
    return Decisions(reason, value, labelled)


def truths_at(trees: Trees, places: Array, by: str | None = None) -> Array:
    """Of each call the number of the truth of its item: a label's, else its own; with `by`, that annotator's alone."""
    items = trees.shape.item[places]
    labels = trees.labels
    if not len(labels):
        if by is not None:
            return np.full(len(places), NONE, np.int32)
        found: Array = trees.items.truth()[items]
        return found
    contexts, runs = trees.shape.contexts, trees.shape.run[places].astype(np.int64)
    width = len(contexts.items.packed)

    def truth_of(pair: int) -> int:
        run, item = divmod(pair, width)
        return trees.items.number_of_truth(labels.truth_of_item(contexts.items.mapping(item), contexts.runs[run], by))

    return each_once(runs * width + items, truth_of)


def accepted(trees: Trees, right: Correctness, truth: Array, key: Array) -> Array:
    """Whether answers (by number) are the truth (by number): 1 or 0, UNSTATED where that can't be known. Each pair is
    compared once."""
    keys = keys_of(trees, right.answers).values
    width = len(keys)
    tests: dict[int, Callable[[bytes], bool] | None] = {}

    def verdict_on(pair: int) -> int:
        of_truth, of_key = divmod(pair, width)
        answer = keys[of_key]
        assert answer is not None
        if of_truth not in tests:
            tests[of_truth] = right.accepting(trees.items.truths[of_truth])
        test = tests[of_truth]
        return UNSTATED if test is None else test(answer)

    return each_once(truth.astype(np.int64) * width + key, verdict_on)


def stated_at(trees: Trees, places: Array) -> Array:
    """What calls state of themselves: by a score, else in the data of their end."""
    found = np.full(len(places), UNSTATED, np.int64)
    end_rows = trees.shape.end_row[places]
    ended = np.flatnonzero(end_rows >= 0)
    numbers = trees.texts.numbers(end_rows[ended])
    of_texts = trees.texts.numbered("correct", _code, np.int64)
    if (of_texts != UNSTATED).any():
        found[ended] = of_texts[numbers]
    scored = trees.once(_scored)
    if scored:
        by_place = np.full(len(trees.shape), NO_SCORE, np.int64)
        by_place[list(scored)] = list(scored.values())
        codes = by_place[places]
        found = np.where(codes == NO_SCORE, found, codes)
    return found


def _scored(trees: Trees) -> dict[int, int]:
    """Of each call of which a score says whether it is correct what the last such score says."""
    of_metrics, _ = trees.places_of_metrics
    scoring = np.flatnonzero((of_metrics >= 0) & (trees.metric_kinds == SCORE))
    numbers = trees.metric_texts[scoring]
    says = trees.texts.numbered("has correct", lambda data: "correct" in data, bool)[numbers]
    if not says.any():
        return {}
    numbers = numbers[says]
    codes = trees.texts.numbered("correct", _code, np.int64)[numbers]
    given = trees.texts.numbered("gives correct", lambda data: data.get("correct") is not None, bool)[numbers]
    told = zip(of_metrics[scoring[says]].tolist(), given.tolist(), codes.tolist(), strict=True)
    last = {place: (gives, code) for place, gives, code in told}
    return {place: code for place, (gives, code) in last.items() if gives}  # else what the end says stands


def _code(data: Mapping[str, Any]) -> int:
    value = data.get("correct")
    share = None if value is None else share_of(value)
    if share is None:
        return UNSTATED
    return int(share) if share in (Fraction(0), Fraction(1)) else OTHER
