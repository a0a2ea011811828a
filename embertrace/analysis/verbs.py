"""The table of questions, and the one door through which they are asked: locally, over RPC, from the command line.

A query is {"verb": name, "filters": [[name, arguments…]…], "options": {}}; its answer is a result's `to_data`. Each
verb is (partial state of one part of the events, merge, finish): `partial` of several forests, merged, finishes to
the same digits as `partial` of all their events in one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from embertrace.analysis.answers import Abstaining
from embertrace.analysis.forest import Forest
from embertrace.analysis.losses import note
from embertrace.analysis.query import Selection
from embertrace.analysis.questions import (
    agreement,
    calibration,
    choosing,
    costs,
    dependence,
    distributions,
    explaining,
    flipping,
    flowing,
    grouping,
    incidents,
    items,
    judging,
    kappas,
    labelling,
    members,
    outcomes,
    posing,
    slowest,
    straggling,
    timeline,
    timing,
    verdicts,
    voting,
)
from embertrace.analysis.results import Estimate, Result, Table
from embertrace.analysis.runs import Run, check_runs, describe_runs
from embertrace.analysis.sample import Sample, sample_of, with_estimates
from embertrace.analysis.tally import Tally
from embertrace.analysis.unmet import Unmet, unmet_of
from embertrace.errors import QueryError, WireError
from embertrace.payload import pack, pack_plain, unpack


class Verb(NamedTuple):
    """A question. `pools`: whether it may be asked of several runs at once without saying so.

    `attempts`: whether it can be asked of every attempt. The others count each call once, whatever is said: an
    ensemble has one vote of each member. `totals` are the columns that grow with the number of calls: of a sample they
    are also estimated. `partial_paths`: whether calls of items outside a sample, kept for their errors, count too.
    """

    partial: Callable[..., Any]
    finish: Callable[[Any], Result]
    pools: bool = False
    attempts: bool = False
    totals: tuple[str, ...] = ()
    partial_paths: bool = False

    def __call__(self, selection: Selection, **options: Any) -> Result:
        return self.finish(self.partial(selection, **options))

    @property
    def options(self) -> list[str]:
        return list(_parameters(self.partial))[1:]


CALLS = ("calls", "errors")
PACKED = "packed"
"""What a query holds that is a payload: see `wrapped`."""
MAX_QUERY_BYTES = 64 * 1024
"""As of a request."""

VERBS: dict[str, Verb] = {
    "ensemble_disagreement": Verb(voting.ensemble_disagreement, voting.finish_votes),
    "non_unanimous_rate": Verb(voting.non_unanimous_rate, voting.finish_votes),
    "majority_accuracy": Verb(voting.majority_accuracy, voting.finish_votes),
    "accuracy_distribution": Verb(distributions.accuracy_distribution, distributions.finish_accuracy),
    "judge_accuracy": Verb(judging.judge_accuracy, Tally.finish),
    "judge_accuracy_by_agreement": Verb(judging.judge_accuracy_by_agreement, judging.finish_by_agreement),
    "judge_lift": Verb(judging.judge_lift, Tally.finish),
    "judge_vs_labels": Verb(verdicts.judge_vs_labels, verdicts.Verdicts.finish),
    "selection_accuracy": Verb(choosing.selection_accuracy, Tally.finish),
    "judge_overrides": Verb(choosing.judge_overrides, choosing.finish_overrides),
    "judge_choices": Verb(choosing.judge_choices, choosing.finish_choices),
    "agreement_calibration": Verb(calibration.agreement_calibration, calibration.finish_calibration),
    "pairwise_agreement": Verb(agreement.agreement, agreement.finish_pairs),
    "vote_entropy": Verb(agreement.agreement, agreement.finish_entropy),
    "answer_distribution": Verb(agreement.answer_distribution, agreement.finish_distribution),
    "fleiss_kappa": Verb(kappas.fleiss_kappa, kappas.finish_fleiss),
    "cohen_kappa": Verb(kappas.cohen_kappa, kappas.finish_cohen),
    "krippendorff_alpha": Verb(kappas.krippendorff_alpha, kappas.finish_alpha),
    "oracle_accuracy": Verb(members.right_ballots, members.finish_oracle),
    "accuracy_vs_size": Verb(members.accuracy_vs_size, members.finish_sizes),
    "member_value": Verb(members.right_ballots, members.finish_values),
    "error_correlation": Verb(members.right_ballots, dependence.finish_correlations),
    "effective_votes": Verb(members.right_ballots, dependence.finish_effective),
    "latency": Verb(timing.latency, timing.finish_latency),
    "critical_path": Verb(timing.critical_path, timing.finish_path),
    "stragglers": Verb(straggling.stragglers, straggling.finish_stragglers),
    "slowest": Verb(slowest.slowest, slowest.Slowest.finish),
    "items": Verb(items.items, items.finish_items),
    "item": Verb(items.item, items.ItemCalls.finish, pools=True, attempts=True),
    "outcomes": Verb(outcomes.outcomes, outcomes.finish_outcomes),
    "cost": Verb(costs.cost, costs.Costs.finish, attempts=True),
    "flips": Verb(flipping.flips, flipping.Flips.finish),
    "ensembles": Verb(posing.ensembles, posing.Posings.finish),
    "labels": Verb(labelling.labels, labelling.finish_labels, pools=True),
    "label_agreement": Verb(labelling.label_agreement, labelling.finish_agreement, pools=True),
    "unknown_items": Verb(labelling.unknown_items, labelling.Sought.finish, pools=True),
    "stages": Verb(distributions.stages, distributions.finish_activity, attempts=True, totals=CALLS),
    "operators": Verb(distributions.operators, distributions.finish_activity, attempts=True, totals=CALLS),
    "timeline": Verb(timeline.timeline, timeline.Timeline.finish, pools=True, attempts=True),
    "failures": Verb(incidents.failures, incidents.Incidents.finish, pools=True, attempts=True, partial_paths=True),
    "unlinked": Verb(incidents.unlinked, incidents.Incidents.finish, pools=True),
    "losses": Verb(incidents.Losses, incidents.Losses.finish, pools=True),
    "runs": Verb(incidents.Runs, incidents.Runs.finish, pools=True),
    "flow": Verb(flowing.flow, flowing.Flow.finish, totals=(*CALLS, "count")),
    "groups": Verb(grouping.groups, grouping.Groups.finish, pools=True),
    "health": Verb(incidents.Health, incidents.Health.finish, pools=True, attempts=True),
}

VERBS["explain"] = Verb(functools.partial(explaining.explain, dict(VERBS)), explaining.Explained.finish, attempts=True)


class Partial(NamedTuple):
    """What one part of the events says to a question; `state` is None once the runs or shares in question are too
    many."""

    state: Any
    chosen: frozenset[str]
    known: Mapping[str, Run]
    sample: Sample
    unmet: Unmet

    def merge(self, other: Partial) -> Partial:
        """Both parts together. Neither is used again."""
        chosen, known = self.chosen | other.chosen, dict(self.known)
        for name, run in other.known.items():
            known[name] = known[name].merge(run) if name in known else run
        sample = self.sample.merge(other.sample)
        unmet = self.unmet.merge(other.unmet)
        together = len(chosen) < 2 and self.state is not None and other.state is not None
        return Partial(self.state.merge(other.state) if together else None, chosen, known, sample, unmet)


class Question(NamedTuple):
    """A query that was understood. What it is asked of may be several forests, one after the other: see `Forest.part`.

    `alone`: whether the calls must be of one run.
    """

    verb: Verb
    filters: Sequence[Sequence[Any]]
    options: Mapping[str, Any]
    every_attempt: bool
    alone: bool

    def of(self, forest: Forest) -> Partial:
        """What one forest says. Raises QueryError for filters and options that mean nothing."""
        partial = self.verb.partial_paths
        return self.put_to(Selection(forest, self.filters, every_attempt=self.every_attempt, partial=partial))

    def put_to(self, selection: Selection) -> Partial:
        """What a selection of one forest says, which these filters made."""
        forest = selection.forest
        chosen: frozenset[str] = frozenset(selection.runs) if self.alone else frozenset()
        known = describe_runs(forest.trees, forest.ended) if chosen else {}
        sample = sample_of(selection)
        alone = len(chosen) < 2 and (self.verb.pools or len(sample.shares) < 2)
        state = self.verb.partial(selection, **self.options) if alone else None
        return Partial(state, chosen, known, sample, unmet_of(selection, self.filters))

    def finish(self, found: Partial, forest: Forest) -> Result:
        """The result of all parts, `forest` being one of them. Raises QueryError for runs pooled silently, and for
        calls of several shares where something is estimated."""
        check_runs(found.known, found.chosen)
        if not self.verb.pools:
            found.sample.check()
        result = self.verb.finish(found.state)
        if self.verb.totals:
            result = with_estimates(result, self.verb.totals, found.sample.share)
        result.notes = (*found.unmet.notes(self.filters), *result.notes, *found.sample.notes())
        return with_gaps(result, forest)


def understood(query: Mapping[str, Any]) -> Question:
    """The question that a query is. Raises QueryError for what is none."""
    query = unwrapped(query)
    name, options = query.get("verb"), query.get("options") or {}
    if not isinstance(options, Mapping):
        raise QueryError(f"options are a mapping of names to values, not {options!r}")
    options = dict(options)
    verb = VERBS.get(name) if isinstance(name, str) else None
    if verb is None:
        raise QueryError(f"there is no question {name!r}; known are {', '.join(sorted(VERBS))}")
    pool, attempts = options.pop("pool", False), check_attempts(options.pop("attempts", "selected"))
    abstain = check_abstain(options.pop("abstain", ()))
    known = verb.options
    for option in options:
        if option not in known:
            takes = f"it takes {', '.join([*known, 'pool', 'attempts', 'abstain'])}"
            raise QueryError(f"{name} has no option {option!r}; {takes}")
    missing = [option for option in known if option not in options and _is_required(verb, option)]
    if missing:
        raise QueryError(f"{name} needs {', '.join(missing)}")
    if abstain:
        options = _abstaining(verb, options, abstain)
    filters = query.get("filters") or ()
    if not isinstance(filters, list | tuple) or not all(isinstance(entry, list | tuple) for entry in filters):
        raise QueryError(f"filters are lists of [name, arguments…], not {filters!r}")
    return Question(verb, filters, options, attempts == "all" and verb.attempts, not verb.pools and not pool)


def _abstaining(verb: Verb, options: Mapping[str, Any], values: tuple[Any, ...]) -> dict[str, Any]:
    """The options of a question that compares answers, or explains one that does, where these values are none."""
    found = dict(options)
    if "answer" in verb.options:
        found["answer"] = Abstaining(options.get("answer"), values)
    explained = VERBS.get(str(options.get("question"))) if verb is VERBS["explain"] else None
    if explained is not None:
        found["options"] = _abstaining(explained, options.get("options") or {}, values)
    return found


def wrapped(query: Mapping[str, Any]) -> Mapping[str, Any]:
    """A query as it crosses RPC: as a payload, where msgpack alone has no form for a key or a tag, such as 2**70."""
    options = query["options"]
    values = [
        options.get("key"),
        *options.get("abstain", ()),
        *(value for _, *values in query["filters"] for value in values),
    ]
    if all(isinstance(value, bytes) or pack_plain(value, MAX_QUERY_BYTES) is not None for value in values):
        return query
    return {PACKED: pack(query, MAX_QUERY_BYTES)}


def unwrapped(query: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `wrapped` was given. Raises QueryError for bytes that hold no query."""
    if PACKED not in query:
        return query
    try:
        found = unpack(query[PACKED])
    except (WireError, TypeError):
        found = None
    if not isinstance(found, dict) or PACKED in found:
        raise QueryError(f"{PACKED} holds no query")
    return found


def ask(forest: Forest, query: Mapping[str, Any]) -> Result:
    """The result of one query. Raises QueryError for what it does not know, and for runs pooled silently."""
    question = understood(query)
    return question.finish(question.of(forest), forest)


def check_attempts(attempts: Any) -> str:
    """Raises QueryError for what is no way to count attempts."""
    if attempts not in ("selected", "all"):
        raise QueryError(f"attempts={attempts!r} is none of selected, all")
    return str(attempts)


def check_abstain(values: Any) -> tuple[Any, ...]:
    """Raises QueryError for what is no list of answers."""
    if not isinstance(values, list | tuple):
        raise QueryError(f"abstain={values!r:.80} is no list of answers that count as none")
    return tuple(values)


def answer(forest: Forest, query: Mapping[str, Any]) -> dict[str, Any]:
    """As `ask`, as plain data: what crosses RPC and HTTP."""
    return ask(forest, query).to_data()


def _is_required(verb: Verb, option: str) -> bool:
    return _parameters(verb.partial)[option].default is inspect.Parameter.empty


@cache
def _parameters(partial: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(partial).parameters


def with_gaps(result: Result, forest: Forest) -> Result:
    """Events that never arrived concern every answer."""
    missing = {
        "damaged bytes": forest.damaged_bytes,
        "segments removed by retention": forest.removed_segments,
        "events without a call": forest.unplaced,
    }
    result.left_out.update({reason: count for reason, count in missing.items() if count})
    lost = note(forest.events, forest.losses, forest.undecodable)
    split = forest.known.in_pieces
    pieces = f"traces too large for memory, counted in pieces: {split}" if split else None
    result.notes = (*result.notes, *(told for told in (lost, pieces) if told is not None))
    return result


__all__ = ["VERBS", "Estimate", "Partial", "Question", "Table", "Verb", "answer", "ask", "understood"]
