"""Whether an answer is right. First that applies:

1. `score(correct=…)` of its call, or `correct` in the data of its end event: true, false, or a share in 0 … 1.
2. The item's truth, or a label's, under the answer key; or what `grade(answer, truth)` says (local only).

Else the call is unlabelled: None here, and left out and counted by whoever asks. Unknown is never wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from embertrace.analysis.answers import Answers
from embertrace.analysis.calls import Call
from embertrace.analysis.ensembles import Ensemble
from embertrace.analysis.labels import Labels
from embertrace.errors import QueryError
from embertrace.payload import Cut

Grade = Callable[[Any, Any], Any]


class Correctness:
    """Judges answers for one question: one answer rule, one set of labels."""

    def __init__(self, answers: Answers, labels: Labels, grade: Grade | None = None) -> None:
        if grade is not None and not callable(grade):
            raise QueryError(f"grade={grade!r} is no callable: it takes (answer, truth) and works locally only")
        self.answers, self._labels, self._grade = answers, labels, grade

    def states(self, call: Call) -> bool:
        """Whether the call itself says how right it was, whatever it answered."""
        return _stated(call) is not None

    def is_labelled(self, call: Call) -> bool:
        """Whether any answer of this call could be judged; of one that failed, whether failing was wrong."""
        return _stated(call) is not None or self._labels.truth(call) is not None

    def truth(self, call: Call) -> Any:
        return self._labels.truth(call)

    def of_call(self, call: Call) -> Fraction | None:
        """Of a call that answered: 1, 0, a share between, or None where nobody knows."""
        stated = _stated(call)
        if stated is not None:
            return stated
        answer = self.answers.of(call)
        return None if answer.key is None else self._by_truth(call, answer.key, call.answer)

    def of_vote(self, ensemble: Ensemble, key: bytes) -> Fraction | None:
        """Of an answer that some members gave: as any of their calls states, else by the truth."""
        voters = [member for member in ensemble.members if member.key == key]
        stated = [share for voter in voters if voter.call is not None and (share := _stated(voter.call)) is not None]
        if stated:
            return max(stated)
        first = voters[0]
        asked = ensemble.call if first.call is None or self.truth(ensemble.call) is not None else first.call
        return self._by_truth(asked, key, first.shown())

    def _by_truth(self, call: Call, key: bytes, value: Any) -> Fraction | None:
        return self.by_truth(self._labels.truth(call), key, value)

    @property
    def grades(self) -> bool:
        """Whether a callable says what is right."""
        return self._grade is not None

    def by_truth(self, truth: Any, key: bytes, value: Any = None) -> Fraction | None:
        """How right an answer is where that is the truth. `value` is the answer itself, for a callable to look at."""
        if not _is_whole(truth):
            return None
        if self._grade is not None:
            return share_of(self._grade(value, truth))
        return Fraction(self.answers.accepts(truth, key))

    def accepting(self, truth: Any) -> Callable[[bytes], bool] | None:
        """Which answer keys are right where that is the truth, and no callable decides: a test; None if nobody
        knows."""
        return self.answers.accepting(truth) if _is_whole(truth) else None


def _is_whole(truth: Any) -> bool:
    """Whether there is a truth, and all of it is known: not of a list of accepted answers that was cut."""
    return truth is not None and not (isinstance(truth, Cut) and truth.type != "str")


def _stated(call: Call) -> Fraction | None:
    for source in (call.scores, call.data if call.ended else {}):
        if source.get("correct") is not None:
            return share_of(source["correct"])
    return None


def share_of(value: Any) -> Fraction | None:
    """A number in 0 … 1, exactly; None for anything else."""
    return Fraction(value) if isinstance(value, bool | int | float) and 0 <= value <= 1 else None
