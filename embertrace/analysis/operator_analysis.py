"""OperatorAnalysis: filters that chain, and the questions of `fluent`. The same class locally and over RPC.

Filters return a new analysis; nothing is computed before a question is asked.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from functools import cached_property
from typing import Any, Literal

from embertrace.analysis import notebook
from embertrace.analysis.answers import Rule
from embertrace.analysis.assembling import assemble
from embertrace.analysis.calls import Call
from embertrace.analysis.compare import compare
from embertrace.analysis.comparison import Comparison
from embertrace.analysis.correctness import Grade
from embertrace.analysis.drilling import Origin
from embertrace.analysis.events_view import CallsView, EventsView
from embertrace.analysis.fluent.activity import ActivityQuestions
from embertrace.analysis.fluent.agreement import AgreementQuestions
from embertrace.analysis.fluent.ensembles import EnsembleQuestions
from embertrace.analysis.fluent.incidents import IncidentQuestions
from embertrace.analysis.fluent.items import ItemQuestions
from embertrace.analysis.fluent.judges import JudgeQuestions
from embertrace.analysis.fluent.labels import LabelQuestions
from embertrace.analysis.fluent.members import MemberQuestions
from embertrace.analysis.fluent.timing import TimingQuestions
from embertrace.analysis.forest import Forest
from embertrace.analysis.groups import Grouped
from embertrace.analysis.query import Filter, Selection, make_test
from embertrace.analysis.questions.outcomes import On
from embertrace.analysis.results import Rows, asked_of, result_from_data
from embertrace.analysis.source import LocalSource, Source, counted, forest_of
from embertrace.analysis.unmet import spelled
from embertrace.analysis.verbs import check_abstain, check_attempts
from embertrace.errors import QueryError
from embertrace.event import OperatorEvent

ABOUT_RUNS = ("name", "status", "project", "calls", "id")
Attempts = Literal["selected", "all"]


class OperatorAnalysis(
    EnsembleQuestions,
    AgreementQuestions,
    MemberQuestions,
    JudgeQuestions,
    ActivityQuestions,
    TimingQuestions,
    ItemQuestions,
    LabelQuestions,
    IncidentQuestions,
):
    """Questions to a set of events: a list, what `collect_events` gives, a recording, or an aggregator.

    Events made by hand need no ids: see `handmade` for how they are paired. `pool=True` takes several runs as one.
    A call that was retried counts once, with its highest attempt that ended; with `attempts="all"`, `calls`, `trees`,
    `show`, `stages`, `operators`, `health` and the questions about what went wrong show every attempt. Ensembles and
    judges count each call once in any case. Whoever gives one of the answers `abstain` abstained, as with None.
    Answers to nothing are NaN or empty, with n = 0. Not thread-safe; make one per thread.
    """

    def __init__(
        self,
        events: Iterable[OperatorEvent] | Source,
        *,
        pool: bool = False,
        attempts: Attempts = "selected",
        abstain: Sequence[Any] = (),
    ) -> None:
        self._asked = _Asked(events)
        self._filters: tuple[Filter, ...] = ()
        self._pool = pool
        self._every_attempt = check_attempts(attempts) == "all"
        self._abstain = check_abstain(abstain)

    # Filters. Each narrows the selection of calls; the trees stay whole.

    def stage(self, name: str) -> OperatorAnalysis:
        """Calls in one stage, whether the ensemble's, its members' or a judge's."""
        return self._with("stage", name)

    def operator(self, operator_id: str) -> OperatorAnalysis:
        """Calls of one operator."""
        return self._with("operator", operator_id)

    def type(self, operator_type: str) -> OperatorAnalysis:
        """Calls of operators of one type, as "judge"."""
        return self._with("type", operator_type)

    def tag(self, name: str, *value: Any) -> OperatorAnalysis:
        """Calls with a tag of their own or inherited: of any value, or of the one given."""
        return self._with("tag", name, *value)

    def trace(self, trace_id: str) -> OperatorAnalysis:
        """Calls of one trace (32 hexadecimal digits)."""
        return self._with("trace", trace_id)

    def item(self, key: Any) -> OperatorAnalysis:
        """Calls about one item, by the key it was given."""
        return self._with("item", key)

    def epoch(self, epoch: Any) -> OperatorAnalysis:
        """Calls of one epoch of their items."""
        return self._with("epoch", epoch)

    def run(self, name: str) -> OperatorAnalysis:
        """Calls of one run, by id, or by name (several runs of one name are still several)."""
        return self._with("run", name)

    def round(self, number: int) -> OperatorAnalysis:
        """Calls of one round, from 0: the ordinal of a call among its operator's about its item (see `rounds`)."""
        return self._with("round", number)

    def share(self, share: float) -> OperatorAnalysis:
        """Calls recorded as that share of all items, from 0 to 1: 1 where everything is recorded (see `sample`)."""
        return self._with("share", share)

    def between(self, start: float, end: float) -> OperatorAnalysis:
        """Calls begun in start ≤ t < end, Unix seconds."""
        return self._with("between", start, end)

    def where(self, predicate: Callable[[Call], bool]) -> OperatorAnalysis:
        """Calls for which the predicate holds. Local only: a callable can't be sent to an aggregator."""
        return self._with("where", predicate)

    def by(self, dimension: str) -> Grouped:
        """The next question, of each group of calls on its own: `by("stage").majority_accuracy()` gives Groups.

        `dimension` is "stage", "operator", "type", "run", "item", "epoch", "round" or "tag:NAME". Calls without it are
        counted in `left_out`. Raises QueryError for any other.
        """
        return Grouped(self, dimension)

    def ensemble(
        self, *, by: str = "item", members: Sequence[str] | None = None, judge: str | None = None
    ) -> OperatorAnalysis:
        """An analysis of ensembles that never ran: of the selected calls about one item, in whatever runs, as members.

        `members` are operators, or runs (by id or name; then their root calls answer); None is every run. `judge` is
        an operator whose judge calls are held against the ensemble of their item. See `assembling` for the rules.
        Every question can be asked of it, as of one run; of an aggregator's calls it is computed here. Raises
        QueryError for names that have no call about an item with a key, and for any other `by`.
        """
        if by != "item":
            raise QueryError(f"ensemble(by={by!r}): ensembles are made by item, of calls about the same key and epoch")
        return OperatorAnalysis(LocalSource(assemble(Selection(self._forest, self._filters), members, judge)))

    # Two analyses.

    def compare(
        self,
        other: OperatorAnalysis,
        *,
        on: On | None = None,
        score: str | None = None,
        answer: Rule = None,
        grade: Grade | None = None,
    ) -> Comparison:
        """What changes from this to the other, item by item, with a paired test; NaN with n = 0 of no common items.

        Of what `outcomes` gives of both sides: whether the judge is right, or the majority, or the selected
        "calls"; or with `score` a score of that name, of all selected calls or on="judge" of the judges.
        """
        on = on or ("judge" if score is None else "calls")
        sides = [side.outcomes(on=on, score=score, answer=answer, grade=grade) for side in (self, other)]
        return compare(sides[0], sides[1], self.runs(), other.runs(), on=on, score=score)

    # What the questions are about.

    @property
    def events(self) -> EventsView:
        """The events, a lazy sequence; with filters, those that pass them or belong to calls that do.

        Also a table of other libraries: `to_pandas()`, `to_polars()`, Arrow's stream; columns: `frames.EVENT_SCHEMA`.
        """
        if not self._filters:
            return EventsView(self._source.events)
        tests = [make_test(entry) for entry in self._filters]
        return EventsView(self._source.events, lambda: {call.call_id for call in self.calls}, tests)

    @property
    def calls(self) -> CallsView:
        """The selected calls, in the order of their begin: a lazy sequence, and a table as `events` are.

        Columns: `frames.CALL_SCHEMA`.
        """
        return CallsView(lambda: self.selection().calls)

    def selection(self, *, every_attempt: bool | None = None) -> Selection:
        """The selected calls with the trees they stand in, their links and labels: for what carries them elsewhere.

        `every_attempt` decides whether retried calls show all attempts; None is as this analysis was made.
        """
        every = self._every_attempt if every_attempt is None else every_attempt
        return Selection(self._forest, self._filters, every_attempt=every)

    @property
    def trees(self) -> CallsView:
        """The roots of the trees that hold a selected call, in order; `children` leads down. Lazy, as `calls`."""
        return CallsView(self._roots)

    def _roots(self) -> list[Call]:
        roots = {call.root.key: call.root for call in self.selection().calls}
        return sorted(roots.values(), key=lambda root: root.origin)

    def __repr__(self) -> str:
        return f"OperatorAnalysis({self._asked.name}){'.' if self._filters else ''}{spelled(self._filters)}"

    def _repr_html_(self) -> str:
        """What there is to ask about: its runs, the flow of its operators, and the stages with their times."""
        head = f'<code style="font-weight:600">{notebook.tell(self, 400)}</code>'
        runs = [{name: run[name] for name in ABOUT_RUNS if name in run} for run in self.runs()]
        try:
            svg = notebook.draw_flow(self) if notebook.draw_flow is not None and runs else ""
            flow = notebook.picture(svg, "the flow of operators") if svg else ""
            stages = flow + notebook.of_result(self.stages().to_data())
        except QueryError as error:  # several runs: choose one
            stages = notebook.tell(error, 500)
        return head + notebook.of_result(Rows(runs).to_data()) + stages

    # How it asks.

    @property
    def _source(self) -> Source:
        return self._asked.source

    @property
    def _forest(self) -> Forest:
        return self._asked.forest

    def _with(self, name: str, *arguments: Any) -> OperatorAnalysis:
        make_test((name, *arguments))  # a wrong filter fails where it is written
        other = copy.copy(self)
        other._filters = (*self._filters, (name, *arguments))
        return other

    def _ask(self, verb: str, options: Mapping[str, Any]) -> Any:
        given = {name: value for name, value in options.items() if value is not None}
        inner = given["options"] if verb == "explain" and "options" in given else {}
        local_only = [name for name, value in {**given, **inner}.items() if callable(value)]
        local_only += ["where" for name, *_ in self._filters if name == "where"]
        if local_only and not isinstance(self._source, LocalSource):
            raise QueryError(
                f"{local_only[0]}=<callable> works locally only: a callable can't be sent to an aggregator"
            )
        plainly = dict(given)
        if self._pool:
            given["pool"] = True
        if self._every_attempt:
            given["attempts"] = "all"
        if self._abstain:
            given["abstain"] = list(self._abstain)
        query = {"verb": verb, "filters": [list(entry) for entry in self._filters], "options": given}
        answer = result_from_data(self._source.answer(query))
        return answer if verb == "explain" else asked_of(answer, Origin(self, verb, plainly))


class _Asked:
    """The source behind an analysis and all that is chained from it; made when something is first asked."""

    def __init__(self, given: Iterable[OperatorEvent] | Source) -> None:
        self._given = given

    @cached_property
    def source(self) -> Source:
        given = self._given
        if isinstance(given, Source):
            return given
        events = given if hasattr(given, "packed") else list(given)
        return LocalSource(forest_of(events), events)

    @property
    def name(self) -> str:
        """Where the events are from; nothing is read for that."""
        given = self._given
        if isinstance(given, Source):
            return str(getattr(given, "name", "events"))
        return counted(len(given)) if isinstance(given, Sized) else "events"

    @property
    def forest(self) -> Forest:
        """The calls themselves. Of events in memory; an aggregator's are fetched anew, since they still arrive."""
        return self.source.forest()
