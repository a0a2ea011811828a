"""Questions about single items and calls: one row per item, the calls of one item as a tree, what went wrong.

An item without a key (nobody called `item(…)`) is the root call, keyed by a digest of its arguments; repeats of such a
key in one run are numbered in the order of their calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from embertrace.analysis.answers import Answers, Rule
from embertrace.analysis.calls import Call
from embertrace.analysis.correctness import Correctness, Grade
from embertrace.analysis.ensembles import Ensemble
from embertrace.analysis.judging import add_judge
from embertrace.analysis.query import Selection, key_of
from embertrace.analysis.results import NAN, Rows
from embertrace.analysis.tally import Tally
from embertrace.analysis.voting import add_majority, why_left_out
from embertrace.errors import QueryError
from embertrace.event import call_hex
from embertrace.payload import canonical, digest

Key = tuple[bytes, bytes]
"""An item's key and epoch, packed: what rows are merged and sorted by."""


class Records:
    """Rows by sort key, with what was left out."""

    def __init__(self) -> None:
        self.rows: dict[Any, dict[str, Any]] = {}
        self.left_out: Counter[str] = Counter()

    def merge(self, other: Records) -> Records:
        for key, row in other.rows.items():
            mine = self.rows.setdefault(key, row)
            if mine is not row and "calls" in row:  # a run, of which every part holds some calls
                mine["calls"] += row["calls"]
        self.left_out.update(other.left_out)
        return self


def finish_records(records: Records) -> Rows:
    return Rows((records.rows[key] for key in sorted(records.rows)), records.left_out)


class ItemNames:
    """The item of a call: its key as users gave it, or the derived one."""

    def __init__(self, selection: Selection) -> None:
        self._derived: dict[int, str] = {}
        seen: Counter[tuple[str | None, str]] = Counter()
        for root in selection.trees.roots:
            if "key" not in root.item:
                name = f"args:{digest(canonical([root.args, root.kwargs])).hex()[:12]}"
                seen[root.run, name] += 1
                times = seen[root.run, name]
                self._derived[root.call_id] = name if times == 1 else f"{name}#{times}"

    def of(self, call: Call) -> tuple[Any, Any]:
        """Key and epoch."""
        if "key" in call.item:
            return call.item["key"], call.item.get("epoch")
        return self._derived[call.root.call_id] if "key" not in call.root.item else call.root.item["key"], None


Stamped = tuple[tuple[float, int], Any]
"""(when and which call, value): of several calls about one item the latest speaks, in whatever parts they came."""


class ItemRow:
    """What is known of one item: a partial row that merges exactly."""

    def __init__(self, key: Any, epoch: Any) -> None:
        self.key, self.epoch, self.calls = key, epoch, 0
        self.said: dict[str, Stamped] = {}
        self.answers: dict[str, Stamped] = {}

    def merge(self, other: ItemRow) -> None:
        self.calls += other.calls
        for mine, theirs in ((self.said, other.said), (self.answers, other.answers)):
            for name, (stamp, value) in theirs.items():
                _say(mine, name, stamp, value)

    def finish(self) -> dict[str, Any]:
        said = {name: self.said[name][1] if name in self.said else None for name in ("truth", "agreement")}
        judged = {name: self.said[name][1] if name in self.said else None for name in ("judge", "correct")}
        answers = {name: self.answers[name][1] for name in sorted(self.answers)}
        return {"item": self.key, "epoch": self.epoch, **said, "answers": answers, **judged, "calls": self.calls}


def _say(to: dict[str, Stamped], name: str, stamp: tuple[float, int], value: Any) -> None:
    if name not in to or to[name][0] <= stamp:
        to[name] = (stamp, value)


class ItemRows:
    """One row per item and epoch."""

    def __init__(self) -> None:
        self.rows: dict[Key, ItemRow] = {}

    def row(self, key: Any, epoch: Any) -> ItemRow:
        return self.rows.setdefault((canonical(key), canonical(epoch)), ItemRow(key, epoch))

    def merge(self, other: ItemRows) -> ItemRows:
        for row in other.rows.values():
            self.row(row.key, row.epoch).merge(row)
        return self

    def finish(self) -> Rows:
        return Rows(self.rows[key].finish() for key in sorted(self.rows))


def items(selection: Selection, *, answer: Rule = None, grade: Grade | None = None) -> ItemRows:
    found = ItemRows()
    answers, names = Answers(answer), ItemNames(selection)
    right = Correctness(answers, selection.trees.labels, grade)
    for call in selection.calls:
        row = found.row(*names.of(call))
        row.calls += 1
        truth = right.truth(call)
        if truth is not None:
            _say(row.said, "truth", _stamp(call), truth)
    for ensemble in selection.ensembles(answers):
        _describe_votes(found.row(*names.of(ensemble.call)), ensemble)
    for judge, _, _ in selection.judges(answers):
        if judge.outcome == "result":
            row = found.row(*names.of(judge))
            share = right.of_call(judge)
            _say(row.said, "judge", _stamp(judge), judge.answer)
            _say(row.said, "correct", _stamp(judge), None if share is None else float(share))
    return found


def _stamp(call: Call) -> tuple[float, int]:
    return call.timestamp, call.call_id


def _describe_votes(row: ItemRow, ensemble: Ensemble) -> None:
    """Members of several ensembles under one item stand side by side; the last ensemble's agreement is shown."""
    stamp = _stamp(ensemble.call)
    for member in ensemble.members:
        value = member.shown()
        _say(row.answers, member.identity, stamp, f"({member.status})" if value is None else value)
    if why_left_out(ensemble) is None:
        agreement = f"{max(ensemble.votes().values(), default=0)}/{ensemble.attempted}"
        _say(row.said, "agreement", stamp, agreement)


def item(selection: Selection, *, key: Any) -> Records:
    """All calls of one item, each below its parent, `depth` steps from its root."""
    records = Records()
    names, wanted = ItemNames(selection), key_of(key)
    for root in selection.trees.roots:
        if canonical(names.of(root)[0]) != wanted and not any(
            canonical(call.item.get("key")) == wanted for call in root.children
        ):
            continue
        for place, (depth, call) in enumerate(walk(root)):
            if selection.has(call):
                records.rows[root.origin, place] = {**described(call), "depth": depth}
    return records


def walk(root: Call) -> Iterator[tuple[int, Call]]:
    """A call and all below it, parents first, with their depth."""
    stack = [(0, root)]
    while stack:
        depth, call = stack.pop()
        yield depth, call
        stack += [(depth + 1, child) for child in reversed(call.children)]


def described(call: Call) -> dict[str, Any]:
    """What a person wants to see of one call."""
    error = call.error
    return {
        "operator": call.operator_id,
        "type": call.operator_type,
        "stage": call.stage,
        "call_id": call_hex(call.call_id),
        "outcome": call.outcome,
        "answer": call.answer if error is None else None,
        "error": f"{error.get('type')}: {error.get('message')}" if error is not None else None,
        "duration_s": call.duration_s,
        "scores": dict(call.scores),
    }


def outcomes(selection: Selection, *, on: str = "judge", answer: Rule = None, grade: Grade | None = None) -> Outcomes:
    if on not in ("judge", "majority"):
        raise QueryError(f"on={on!r} is none of judge, majority")
    found, names = Outcomes(), ItemNames(selection)
    answers = Answers(answer)
    right = Correctness(answers, selection.trees.labels, grade)
    if on == "judge":
        for judge, _, _ in selection.judges(answers):
            add_judge(found.tally(names.of(judge)[0]), judge, judge, right)
        return found
    for ensemble in selection.ensembles(answers):
        tally = found.tally(names.of(ensemble.call)[0])
        reason = why_left_out(ensemble)
        if reason is not None:
            tally.leave_out(reason)
        else:
            add_majority(tally, ensemble, right, "expected")
    return found


class Outcomes:
    """How right each item was: a tally per item key, epochs and repeated calls together."""

    def __init__(self) -> None:
        self.by_key: dict[bytes, tuple[Any, Tally]] = {}

    def tally(self, key: Any) -> Tally:
        return self.by_key.setdefault(canonical(key), (key, Tally()))[1]

    def merge(self, other: Outcomes) -> Outcomes:
        for packed, (key, tally) in other.by_key.items():
            mine = self.by_key.get(packed)
            self.by_key[packed] = (key, mine[1].merge(tally) if mine else tally)
        return self

    def finish(self) -> Rows:
        """Per item: `n` judged answers, their mean `correct` (NaN of none), `failed` attempts."""
        rows, left_out = [], Counter[str]()
        for packed in sorted(self.by_key):
            key, tally = self.by_key[packed]
            n = sum(count for count, _ in tally.units.values())
            total = sum((part for _, part in tally.units.values()), Fraction(0))
            rows.append({"item": key, "n": n, "correct": float(total / n) if n else NAN, "failed": tally.failed})
            left_out.update(tally.left_out)
        return Rows(rows, left_out)
