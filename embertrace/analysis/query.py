"""Filters as data, and what they select.

Rules:
- A filter is [name, *arguments]: stage, operator, type, tag, trace, item, epoch, run, round, share, between; the one
  that can't leave the process is `where(callable)`. All filters must hold.
- Filters select calls, and the hierarchy stays whole. A selected ensemble counts with all its members; one that is
  not selected only over its selected members that are no ensembles. A judge's row counts where the judge is
  selected, or else as far as its ensemble is.
- Several runs are never pooled silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from embertrace.analysis.answers import Answers
from embertrace.analysis.arrays.ballots import counting_places, places_of_type
from embertrace.analysis.arrays.feeding import LEFT, feeding_of
from embertrace.analysis.arrays.judged import AllJudged, judged_votes
from embertrace.analysis.arrays.kinds import JudgedKinds, Kinds, judged_kinds, kinds_of
from embertrace.analysis.arrays.votes import Votes, votes_of
from embertrace.analysis.calls import Call, Metric
from embertrace.analysis.correctness import Correctness
from embertrace.analysis.ensembles import Ensemble, is_ensemble, read_ensemble, read_named
from embertrace.analysis.forest import Forest
from embertrace.analysis.links import Feed, Links
from embertrace.analysis.rounds import Rounds, rounds_of
from embertrace.analysis.table.column import Array
from embertrace.analysis.table.counting import counted
from embertrace.analysis.table.shares import WHOLE
from embertrace.analysis.trees import SCORE, Trees
from embertrace.errors import QueryError
from embertrace.lineage import ITEM_BYTES, TAGS_BYTES, recorded
from embertrace.payload import canonical

Filter = tuple[Any, ...]


class Subject(Protocol):
    """What filters look at: a call, a metric, or an event as users see it."""

    @property
    def operator_id(self) -> str: ...
    @property
    def operator_type(self) -> str: ...
    @property
    def stage(self) -> str: ...
    @property
    def trace_id(self) -> str | None: ...
    @property
    def timestamp(self) -> float: ...
    @property
    def run(self) -> str | None: ...
    @property
    def item(self) -> Mapping[str, Any]: ...
    @property
    def tags(self) -> Mapping[str, Any]: ...
    @property
    def share(self) -> float: ...


Test = Callable[[Any], bool]


def _named(attribute: str) -> Callable[[str], Test]:
    def make(name: str) -> Test:
        return lambda subject: getattr(subject, attribute) == name

    return make


def _item(key: Any) -> Test:
    wanted = key_of(key)
    return lambda subject: "key" in subject.item and canonical(subject.item["key"]) == wanted


def _epoch(epoch: Any) -> Test:
    wanted = canonical(recorded(epoch, ITEM_BYTES))
    return lambda subject: canonical(subject.item.get("epoch")) == wanted


def _tag(name: str, *value: Any) -> Test:
    if not value:
        return lambda subject: name in subject.tags
    (given,) = value
    wanted = canonical(recorded(given, TAGS_BYTES))
    return lambda subject: name in subject.tags and canonical(subject.tags[name]) == wanted


FILTERS: dict[str, Callable[..., Test]] = {
    "stage": _named("stage"),
    "operator": _named("operator_id"),
    "type": _named("operator_type"),
    "tag": _tag,
    "trace": _named("trace_id"),
    "item": _item,
    "epoch": _epoch,
    "run": _named("run"),
    "round": lambda number: lambda subject: False,  # of what is no call of the trees that are asked
    "share": lambda share: lambda subject: subject.share == share,
    "between": lambda start, end: lambda subject: start <= subject.timestamp < end,
    "where": lambda predicate: lambda subject: isinstance(subject, Call) and predicate(subject),
}
"""Filters by name; each makes a test of its arguments."""

BY_NAME = frozenset(FILTERS) - {"item", "epoch", "round", "share", "between", "where"}
"""Filters whose first argument is a name."""


NAME_PARTS = {"operator": 0, "type": 1, "stage": 2}
"""Filters by one part of the names of an operator, and which."""


def passing_places(trees: Trees, entry: Filter, run_ids: Callable[[Any], set[Any]]) -> Array | None:
    """By place whether a call passes a filter; None for a filter that has to look at each call."""
    name, *arguments = entry
    if len(arguments) != 1:
        return None
    found: Array | None = None
    if name in NAME_PARTS:
        part = NAME_PARTS[name]
        found = trees.table.names.which(lambda names: names[part] == arguments[0])[trees.shape.name]
    elif name == "run":
        wanted, runs = run_ids(arguments[0]), trees.shape.contexts.runs
        found = np.fromiter((run in wanted for run in runs), bool, len(runs))[trees.shape.run]
    elif name == "round" and isinstance(arguments[0], int):
        found = rounds_of(trees).of_place == arguments[0]
    elif name == "share":
        found = trees.shape.share == arguments[0]
    elif name == "item":
        found = trees.items.having(key_of(arguments[0]))[trees.shape.item]
    return found


def key_of(key: Any) -> bytes:
    """An item's key as it is compared: by what is recorded of it."""
    return canonical(recorded(key, ITEM_BYTES))


def make_test(
    entry: Sequence[Any],
    run_ids: Callable[[Any], set[Any]] | None = None,
    round_of: Callable[[Any], int | None] | None = None,
) -> Test:
    """The test of one filter. Raises QueryError.

    `run_ids` says which run ids a run's name stands for, `round_of` the round of a call or of what belongs to one.
    """
    name, *arguments = entry if entry else ("",)
    if not isinstance(name, str) or name not in FILTERS:
        raise QueryError(f"there is no filter {name!r}; known are {', '.join(FILTERS)}")
    if name == "where" and not (len(arguments) == 1 and callable(arguments[0])):
        raise QueryError("where() takes one callable and works locally only: a callable can't be sent to an aggregator")
    if name == "between" and not all(isinstance(argument, int | float) for argument in arguments):
        raise QueryError(f"between() takes two times in Unix seconds, not {arguments!r}")
    if name == "share" and not all(type(argument) in (int, float) for argument in arguments):
        raise QueryError(f"share() takes a number from 0 to 1, not {arguments[0]!r:.80}")
    if name in BY_NAME and arguments and not isinstance(arguments[0], str):
        raise QueryError(f"{name}() takes a name, not a {type(arguments[0]).__name__}; to choose several, use where(…)")
    if name == "run" and run_ids is not None and len(arguments) == 1:
        wanted = run_ids(arguments[0])
        return lambda subject: subject.run in wanted
    if name == "round" and round_of is not None and len(arguments) == 1:
        return lambda subject: round_of(subject) == arguments[0]
    try:
        return FILTERS[name](*arguments)
    except (TypeError, ValueError):  # of Python itself, about their number
        raise QueryError(f"{name}() was called with {len(arguments)} arguments that it does not take") from None


class Selection:
    """The calls of a forest that pass all filters, and the ensembles and judges they stand for."""

    def __init__(
        self,
        forest: Forest,
        filters: Sequence[Sequence[Any]] = (),
        *,
        every_attempt: bool = False,
        partial: bool = False,
    ) -> None:
        """`partial`: also of calls of items outside a sample (see `Forest.trees_of`)."""
        self.forest, self.trees = forest, forest.trees_of(every_attempt=every_attempt, partial=partial)
        self._filters = [tuple(entry) for entry in filters]
        self._tests = [make_test(entry, self._run_ids, self._round_of) for entry in filters]
        self.filtered = bool(self._tests)
        self.links = Links(self.trees.by_id)

    at_once = True
    """Whether a question may be put to all calls together, with arrays; else it goes through them one by one."""

    def _run_ids(self, name: Any) -> set[Any]:
        return {name} | {run["id"] for run in self.forest.runs() if run.get("name") == name}

    @property
    def rounds(self) -> Rounds:
        """The rounds of all calls, selected or not."""
        return rounds_of(self.trees)

    def _round_of(self, subject: Any) -> int | None:
        call = subject.call if isinstance(subject, Metric) else subject
        return self.round_of(call) if isinstance(call, Call) else None

    def round_of(self, call: Call) -> int:
        return int(self.rounds.of_place[call.place])

    def __contains__(self, subject: Subject) -> bool:
        return all(test(subject) for test in self._tests)

    @cached_property
    def calls(self) -> list[Call]:
        return [self.trees.at(place) for place in self.places.tolist()] if self.filtered else self.trees.calls

    @property
    def places(self) -> Array:
        """Those of the selected calls, in order."""
        return np.flatnonzero(self.mask)

    @cached_property
    def mask(self) -> Array:
        """By place whether a call passes all filters."""
        mask = np.ones(len(self.trees.shape), bool)
        for entry, test in zip(self._filters, self._tests, strict=True):
            passing = passing_places(self.trees, entry, self._run_ids)
            if passing is not None:
                mask &= passing
            else:
                left = np.flatnonzero(mask)
                mask[left] = np.fromiter((test(self.trees.at(place)) for place in left.tolist()), bool, len(left))
        return mask

    def has(self, call: Call) -> bool:
        return bool(self.mask[call.place])

    @cached_property
    def scored(self) -> Array:
        """Of the trees' `metric_rows` whether each is a score of a selected call; one of no known call where the metric
        event itself passes."""
        trees, everything = self.trees, self.trees.once(_scored)
        if not self.filtered:
            return everything
        chosen, (places, _) = everything.copy(), trees.places_of_metrics
        of_calls, stray = (np.flatnonzero(everything & which) for which in (places >= 0, places < 0))
        chosen[of_calls] = self.mask[places[of_calls]]
        rows = trees.metric_rows[stray].tolist()
        chosen[stray] = np.fromiter((Metric(trees.sighting(row)) in self for row in rows), bool, len(stray))
        return chosen

    def scores(self) -> Iterator[Metric]:
        """Those scores, in the order of their origins."""
        for metric in self.trees.scores:
            if self.has(metric.call) if metric.call is not None else metric in self:
                yield metric

    def scored_with(self, names: tuple[str, ...]) -> tuple[Array, Array]:
        """Of those scores that say something of one of these names: the rows, and the places of their calls (below 0
        for none that is known). Nobody looks at the others."""
        trees = self.trees
        chosen = np.flatnonzero(self.scored)
        numbers = trees.metric_texts[chosen]
        has = trees.texts.numbered(f"has one of {names}", lambda data: any(name in data for name in names), bool)
        chosen = chosen[has[numbers]]
        return trees.metric_rows[chosen], trees.places_of_metrics[0][chosen]

    def scores_of(self, names: tuple[str, ...]) -> Iterator[Metric]:
        """The same, one by one."""
        trees = self.trees
        rows, places = self.scored_with(names)
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            metric = Metric(trees.sighting(row))
            if place >= 0:
                metric.belongs_to(trees.at(place))
            yield metric

    def votes(self, answers: Answers) -> Votes | None:
        """How `ensembles` voted, as arrays, but for `rest`; None where a callable decides what is an answer."""
        return votes_of(self.trees, answers, self.mask if self.filtered else None)

    def kinds(self, answers: Answers, right: Correctness | None, *, by_answer: bool) -> Kinds | None:
        """Which ensembles are alike; None where a callable decides."""
        return kinds_of(self.trees, answers, right, self.mask if self.filtered else None, by_answer=by_answer)

    def judged_kinds(self, right: Correctness) -> JudgedKinds | None:
        """Which judges with their ensembles are alike; None where a callable decides."""
        return judged_kinds(self.trees, right, self.mask if self.filtered else None)

    def judged_votes(self, right: Correctness) -> AllJudged | None:
        """What all judges decided, and the votes that they had before them; None where a callable decides."""
        return judged_votes(self.trees, right, self.mask if self.filtered else None)

    def whole(self, call: Call, answers: Answers) -> Ensemble:
        """An ensemble call with all its members."""
        return read_ensemble(call, answers)

    def ensembles(self, answers: Answers) -> Iterator[Ensemble]:
        """Every ensemble call that counts, with the members it counts over."""
        for place in np.flatnonzero(places_of_type(self.trees, "ensemble")).tolist():
            found = self._ensemble(self.trees.at(place), answers)
            if found is not None:
                yield found

    def ensemble(self, call: Call, answers: Answers) -> Ensemble | None:
        """As `ensembles`, of one ensemble call; None where it does not count."""
        return self._ensemble(call, answers)

    def _ensemble(self, call: Call, answers: Answers, before_slot: int | None = None) -> Ensemble | None:
        if self.has(call):
            return read_ensemble(call, answers, before_slot=before_slot)
        if not any(self._is_chosen(child) for child in call.children):
            return None
        found = read_ensemble(call, answers, self._is_chosen, before_slot)
        return found if found.members else None

    def _fed(self, feed: Feed, answers: Answers) -> Ensemble | None:
        """What fed a judge that is not selected itself, as far as it counts."""
        if not feed.members:
            return self._ensemble(feed.ensemble, answers, feed.before_slot)
        found = read_named(feed.ensemble, feed.members, answers, self._is_chosen)
        return found if found.members else None

    def _is_chosen(self, member: Call) -> bool:
        return self.has(member) and not is_ensemble(member)

    def judges(self, answers: Answers) -> Iterator[tuple[Call, list[Ensemble], bool]]:
        """Every judge call that counts, the ensembles that fed it as far as they count, and whether it is linked."""
        for place in np.flatnonzero(places_of_type(self.trees, "judge")).tolist():
            found = self.judge(self.trees.at(place), answers)
            if found is not None:
                yield found

    def judge_places(self, answers: Answers) -> Array:
        """The places of the judge calls that count, as `judges` has them."""
        judge, ensemble = feeding_of(self.trees)
        if not self.filtered:
            return judge
        counts = self.mask[judge]
        fed = np.flatnonzero(~counts & (ensemble >= 0))
        counts[fed] = counting_places(self.trees, self.mask)[ensemble[fed]]
        for at in np.flatnonzero(~counts & (ensemble == LEFT)).tolist():
            counts[at] = self.judge(self.trees.at(int(judge[at])), answers) is not None
        return judge[counts]

    def judge(self, judge: Call, answers: Answers) -> tuple[Call, list[Ensemble], bool] | None:
        """As `judges`, of one judge call; None where it does not count."""
        feeds = self.links.feeds(judge)
        if self.has(judge):
            return judge, [_whole(feed, answers) for feed in feeds], bool(feeds)
        parts = [self._fed(feed, answers) for feed in feeds]
        ensembles = [part for part in parts if part is not None]
        return (judge, ensembles, True) if ensembles else None

    @property
    def is_sample(self) -> bool:
        """Whether some of the selected calls stand for more than themselves."""
        shape = self.trees.shape
        return shape.contexts.shares.is_sampled and bool((shape.share[self.mask] < WHOLE).any())

    @cached_property
    def runs(self) -> set[str]:
        """The runs of the selected calls."""
        shape = self.trees.shape
        numbers = self.trees.all_runs if not self.filtered else counted(shape.run[self.mask])[0].tolist()
        return {run for number in numbers if (run := shape.contexts.runs[number]) is not None}


def _scored(trees: Trees) -> Array:
    """Of all metric events whether each is a score: of a call that counts, or of one of which nothing was seen."""
    places, known = trees.places_of_metrics
    found: Array = (trees.metric_kinds == SCORE) & ((places >= 0) | ~known)
    return found


def _whole(feed: Feed, answers: Answers) -> Ensemble:
    if feed.members:
        return read_named(feed.ensemble, feed.members, answers)
    return read_ensemble(feed.ensemble, answers, before_slot=feed.before_slot)
