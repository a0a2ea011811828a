"""Which calls an answer was made of, and which were left out, with the reason.

How: a question sees calls only through its selection. It is asked once while somebody notes what it takes from there
(judges, ensembles, scores or calls), and once more of each of these alone: what it then leaves out, and why, is what it
said of that one; a single call or score that has no row then counts in none. So an explanation can't differ from the
question it explains. Only what is found by holding calls against each other (see `Lists`) nobody can say of one alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self, cast, runtime_checkable

import numpy as np

from embertrace.analysis.answers import Answers
from embertrace.analysis.calls import Call, Metric, Origin
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.ensembles import Ensemble
from embertrace.analysis.naming import Names
from embertrace.analysis.query import Selection
from embertrace.analysis.questions.items import described
from embertrace.analysis.results import Estimate, Result, Rows, Table
from embertrace.analysis.table.column import Array
from embertrace.analysis.trees import Trees
from embertrace.errors import QueryError
from embertrace.event import call_hex

Judged = tuple[Call, list[Ensemble], bool]
SINGLE = ("scores", "calls")


@runtime_checkable
class Lists(Protocol):
    """The partial state of a question that picks some calls from all, such as the slowest."""

    def lists(self, call: Origin) -> bool:
        """Whether the answer is made of this call. Asked of the state of all parts together."""
        ...

    def merge(self, other: Self) -> Self: ...


class _Seen(NamedTuple):
    """One thing that a question took: the call it is about, where it came from, and the ensembles with it."""

    kind: str
    taken: Any
    call: Call | None
    fed_by: Sequence[Call] = ()


class _Watched:
    """A selection that notes what is taken from it; or, with `only`, that holds that one thing."""

    def __init__(self, selection: Selection, only: _Seen | None = None) -> None:
        self._selection, self._only = selection, only
        self.seen: dict[str, list[_Seen]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selection, name)

    def __contains__(self, subject: Any) -> bool:
        return subject in self._selection

    at_once = False
    filtered = True
    """What is kept of all calls is no answer for one."""

    @property
    def calls(self) -> list[Call]:
        return list(self._take("calls", lambda: ((call, call, ()) for call in self._selection.calls)))

    @property
    def mask(self) -> Array:
        mask = np.zeros(len(self._selection.mask), bool)
        mask[[call.place for call in self.calls]] = True
        return mask

    @property
    def places(self) -> Array:
        return np.flatnonzero(self.mask)

    @property
    def scored(self) -> Array:
        chosen = np.zeros(len(self._selection.scored), bool)
        places = self._selection.trees.once(_places_of_metrics)
        chosen[[places[metric.origin] for metric in self.scores()]] = True
        return chosen

    def votes(self, answers: Answers) -> None:
        """None, as where a callable decides: then a question goes through ensembles and judges one by one."""

    def kinds(self, answers: Answers, right: Correctness | None, *, by_answer: bool) -> None:
        """None, as there."""

    def judged_kinds(self, right: Correctness) -> None:
        """None, as there."""

    def judged_votes(self, right: Correctness) -> None:
        """None, as there."""

    def ensembles(self, answers: Answers) -> Iterator[Ensemble]:
        return self._take("ensembles", lambda: ((one, one.call, ()) for one in self._selection.ensembles(answers)))

    def judges(self, answers: Answers) -> Iterator[Judged]:
        found = self._selection.judges
        return self._take("judges", lambda: ((one, one[0], [fed.call for fed in one[1]]) for one in found(answers)))

    def judge_places(self, answers: Answers) -> Array:
        return np.array([judge.place for judge, _, _ in self.judges(answers)], np.int64)

    def scores(self) -> Iterator[Metric]:
        return self._take("scores", lambda: ((one, one.call, ()) for one in self._selection.scores()))

    def scored_with(self, names: tuple[str, ...]) -> tuple[Array, Array]:
        return Selection.scored_with(cast("Selection", self), names)

    def scores_of(self, names: tuple[str, ...]) -> Iterator[Metric]:
        return (metric for metric in self.scores() if any(name in metric.data for name in names))

    def _take(
        self, kind: str, source: Callable[[], Iterator[tuple[Any, Call | None, Sequence[Call]]]]
    ) -> Iterator[Any]:
        if self._only is not None:
            return iter([self._only.taken] if self._only.kind == kind else [])
        self.seen[kind] = [_Seen(kind, *one) for one in source()]
        return iter([seen.taken for seen in self.seen[kind]])


def _places_of_metrics(trees: Trees) -> dict[Origin, int]:
    """Of each metric event its place among all of them; each call that is explained asks for it."""
    return {metric.origin: place for place, metric in enumerate(trees.metrics)}


class Explained:
    """Rows of calls, in the order of their begin; partial like any other answer. `answer` is what is explained, where
    it alone says which calls it lists."""

    def __init__(self, names: Names, answer: Lists | None) -> None:
        self.names, self.answer = names, answer
        self.rows: dict[tuple[Origin, int], tuple[Any, dict[str, Any]]] = {}

    def merge(self, other: Explained) -> Explained:
        self.names = self.names.merge(other.names)
        self.rows |= other.rows
        if self.answer is not None and other.answer is not None:
            self.answer = self.answer.merge(other.answer)
        return self

    def finish(self) -> Rows:
        final = self.names.finish()
        rows = [(origin, *self.rows[origin, place]) for origin, place in sorted(self.rows)]
        return Rows({"item": final(item), **row, **self._listed(origin)} for origin, item, row in rows)

    def _listed(self, call: Origin) -> dict[str, bool]:
        return {} if self.answer is None else {"used": self.answer.lists(call)}


def explain(
    verbs: Mapping[str, Any], selection: Selection, *, question: str, options: Mapping[str, Any] | None = None
) -> Explained:
    """What `question` of these calls is made of. Raises QueryError for a question there is not."""
    ask = verbs.get(question) if isinstance(question, str) else None
    if ask is None or question == "explain":
        raise QueryError(f"there is no question {question!r} to explain; known are {', '.join(sorted(verbs))}")
    given = dict(options or {})
    if not given.keys() <= set(ask.options):
        raise QueryError(f"{question} takes {', '.join(ask.options) or 'no options'}, not {', '.join(map(str, given))}")
    watched = _Watched(selection)
    state = ask.partial(cast("Selection", watched), **given)
    kind = next((kind for kind in ("judges", "ensembles", "scores", "calls") if kind in watched.seen), "calls")
    found = Explained(Names(selection), state if isinstance(state, Lists) else None)
    for place, seen in enumerate(watched.seen.get(kind, ())):
        if seen.call is not None:
            alone = ask(cast("Selection", _Watched(selection, seen)), **given)
            item = found.names.of(seen.call)[0]
            found.rows[seen.call.origin, place] = item, {**_verdict(kind, alone), **_about(seen)}
    return found


def _verdict(kind: str, alone: Result) -> dict[str, Any]:
    """Whether one call counts, in which rows, and why not."""
    rows = list(_rows_with(alone))
    reasons = sorted(set(alone.left_out) | {reason for row in _inside(alone) for reason in row.left_out})
    if isinstance(alone, Rows):
        used = not reasons and (bool(alone) or kind not in SINGLE)
    else:
        used = bool(alone.n) or bool(rows)
    return {"used": used, "why": ", ".join(reasons) or None, "rows": rows}


def _inside(table: Result) -> Iterator[Estimate]:
    if isinstance(table, Table):
        for value in table.values():
            if isinstance(value, Estimate):
                yield value
            elif isinstance(value, Table):
                yield from _inside(value)


def _rows_with(result: Result, above: str = "") -> Iterator[str]:
    """Names of a table's rows that hold something; those of tables within by both names."""
    if isinstance(result, Table):
        for own, value in result.items():
            name = f"{above} · {own}" if above else own
            if isinstance(value, Table):
                yield from _rows_with(value, name)
            elif not isinstance(value, Estimate) or value.n:
                yield name


def _about(seen: _Seen) -> dict[str, Any]:
    assert seen.call is not None
    return {**described(seen.call), "judged": [call_hex(call.call_id) for call in seen.fed_by]}
