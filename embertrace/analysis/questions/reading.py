"""What most questions read: ensembles, and judges with what fed them, those that are alike together.

Rules:
- With what is read come the units of all calls for which it stands: a question says what it says of one, of all.
- Where kinds can't be told (a callable decides), and of what is out of the ordinary, each stands for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from embertrace.analysis.answers import Answers
from embertrace.analysis.arrays.deciding import DECIDED, OTHER, Decisions, can_decide, decide, facts_at, truths_at
from embertrace.analysis.arrays.kinds import Kinds, alike
from embertrace.analysis.arrays.sums import Alike, units_of_calls
from embertrace.analysis.calls import Call
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.ensembles import Ensemble, why_left_out
from embertrace.analysis.query import Selection
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.shape import RESULT_OUTCOME


def ensembles_alike(
    selection: Selection, answers: Answers, right: Correctness | None, *, by_answer: bool = False
) -> Iterator[tuple[Ensemble, Alike]]:
    """Every ensemble that counts, and all that are like it; with `by_answer`, down to what they answered.

    Without `right` nothing matters of how right answers are.
    """
    kinds = selection.kinds(answers, right, by_answer=by_answer)
    if kinds is None:
        yield from singly(selection.ensembles(answers))
        return
    units = units_of_calls(selection.trees)
    codes = np.zeros(len(selection.trees.shape), np.int64)
    codes[kinds.place], codes[kinds.rest] = units.codes(kinds.place), units.codes(kinds.rest)
    for ensemble, places in _of_kinds(selection, answers, kinds):
        yield ensemble, Alike(units, codes[places])


def _of_kinds(selection: Selection, answers: Answers, kinds: Kinds) -> Iterator[tuple[Ensemble, Array]]:
    """An ensemble of each kind, and the places of all of that kind."""
    read = [*(kinds.place[at] for at in alike(kinds.kind)), *(kinds.rest[at : at + 1] for at in range(len(kinds.rest)))]
    for places in read:
        ensemble = selection.ensemble(selection.trees.at(int(places[0])), answers)
        if ensemble is not None:
            yield ensemble, places


def ensembles_in_places(
    selection: Selection, answers: Answers, right: Correctness
) -> Iterator[tuple[Ensemble, Array, Callable[[int], Array] | None]]:
    """As `ensembles_alike`, with the places of all of them; and what leads from a member's place in its ensemble to the
    calls that stand there in each of those: None for ensembles that stand for no other."""
    kinds = selection.kinds(answers, right, by_answer=False)
    if kinds is None:
        yield from ((one, np.array([one.call.place]), None) for one in selection.ensembles(answers))
        return
    for ensemble, places in _of_kinds(selection, answers, kinds):
        yield ensemble, places, partial(kinds.members_at, places) if len(places) > 1 else None


def truths_of(selection: Selection, right: Correctness, places: Array) -> list[Any]:
    """The truth of each call in some places; None where nobody knows."""
    trees = selection.trees
    if not selection.at_once or trees.labels.name_calls:
        return [right.truth(trees.at(place)) for place in places.tolist()]
    return trees.items.truths_numbered(truths_at(trees, places))


def singly(ensembles: Iterable[Ensemble]) -> Iterator[tuple[Ensemble, Alike]]:
    """Each of them for itself."""
    return ((ensemble, itself(ensemble.call)) for ensemble in ensembles)


def comparable(ensembles: Iterable[tuple[Ensemble, Alike]], left_out: Counter[str]) -> Iterator[tuple[Ensemble, Alike]]:
    """Those that can be compared; of the others the reason is counted."""
    for ensemble, like_it in ensembles:
        reason = why_left_out(ensemble)
        if reason is None:
            yield ensemble, like_it
        else:
            left_out[reason] += like_it.times


def judged_alike(
    selection: Selection, right: Correctness, left_out: Counter[str]
) -> Iterator[tuple[Call, Ensemble, Alike]]:
    """A judge for each ensemble that fed it and can be compared, and all ensembles for which they stand.

    Judges that nothing fed are left out, and counted.
    """
    return _comparable_rows(_judges(selection, right, left_out), left_out)


def judged_singly(
    selection: Selection, places: Iterable[int], right: Correctness, left_out: Counter[str]
) -> Iterator[tuple[Call, Ensemble, Alike]]:
    """As `judged_alike`, of judges in some places, each for itself."""
    rows = (selection.judge(selection.trees.at(place), right.answers) for place in places)
    return _comparable_rows(((row, None) for row in rows if row is not None), left_out)


def _comparable_rows(
    rows: Iterable[tuple[Row, Alike | None]], left_out: Counter[str]
) -> Iterator[tuple[Call, Ensemble, Alike]]:
    for (judge, ensembles, linked), stands_for in rows:
        if not linked:
            left_out["unlinked"] += 1
        each = ((ensemble, itself(ensemble.call) if stands_for is None else stands_for) for ensemble in ensembles)
        yield from ((judge, ensemble, like_it) for ensemble, like_it in comparable(each, left_out))


Row = tuple[Call, list[Ensemble], bool]


def _judges(selection: Selection, right: Correctness, left_out: Counter[str]) -> Iterator[tuple[Row, Alike | None]]:
    """Judges as `Selection.judges` has them, and for which ensembles those of a kind stand."""
    kinds = selection.judged_kinds(right)
    if kinds is None:
        yield from ((row, None) for row in selection.judges(right.answers))
        return
    left_out["unlinked"] += sum(map(len, kinds.unlinked))
    units = units_of_calls(selection.trees)
    read: list[tuple[int, Alike | None]] = [
        (int(kind.judge[0]), Alike(units, units.codes(kind.ensemble))) for kind in kinds.kinds
    ]
    for place, stands_for in [*read, *((place, None) for place in kinds.rest)]:
        row = selection.judge(selection.trees.at(place), right.answers)
        if row is not None:
            yield row, stands_for


def deciding_alike(selection: Selection, right: Correctness) -> Iterator[tuple[Call, Alike]]:
    """Every judge that counts, whatever fed it, with the units of the ensembles that fed those that it stands for.

    A judge that several ensembles fed is of the first; one that nothing fed, of itself.
    """
    kinds = selection.judged_kinds(right)
    if kinds is None:
        rows = selection.judges(right.answers)
    else:
        units = units_of_calls(selection.trees)
        together = [(kind.judge, kind.ensemble) for kind in kinds.kinds] + [(judge, judge) for judge in kinds.unlinked]
        for judges, of in together:
            yield selection.trees.at(int(judges[0])), Alike(units, units.codes(of))
        read = (selection.judge(selection.trees.at(place), right.answers) for place in kinds.rest)
        rows = (row for row in read if row is not None)
    for judge, ensembles, _ in rows:
        yield judge, itself(ensembles[0].call if ensembles else judge)


def decided_among(selection: Selection, right: Correctness, places: Array) -> tuple[Array, Decisions, Array]:
    """The calls in some places of which arrays say what they decided, that, and those to be read one by one."""
    trees = selection.trees
    if not selection.at_once or not can_decide(trees, right):
        return places[:0], decide(trees, right, facts_at(trees, places[:0])), places
    facts = facts_at(trees, places)
    between = facts.stated == OTHER
    alone, places = places[between], places[~between]
    return places, decide(trees, right, facts.take(~between)), alone


def shares_of(selection: Selection, right: Correctness, places: Array) -> Iterator[tuple[Fraction, Array]]:
    """How right the answers of calls are, and the places of those that are as right; of calls of which it is known."""
    trees = selection.trees
    places, decisions, alone = decided_among(selection, right, places[trees.shape.outcome[places] == RESULT_OUTCOME])
    decided = decisions.reason == DECIDED
    for share in (0, 1):
        yield Fraction(share), places[decided & (decisions.right == share)]
    for at in range(len(alone)):
        one = right.of_call(trees.at(int(alone[at])))
        if one is not None:
            yield one, alone[at : at + 1]


def itself(call: Call) -> Alike:
    """A call that stands for no other."""
    units = units_of_calls(call.trees)
    return Alike(units, units.codes(np.array([call.place])))
