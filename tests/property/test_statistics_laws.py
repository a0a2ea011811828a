"""Laws of the statistics: bounds, symmetry, efficiency, and what must not matter."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from embertrace.analysis import OperatorAnalysis
from embertrace.analysis.questions.timing import chain
from embertrace.analysis.source import LocalSource
from embertrace.analysis.subsets import majority_of, shapley_of, value_of
from support.forests import Begun, Story

VOTES = st.lists(st.sampled_from(["a", "b", "c", None, ValueError]), min_size=1, max_size=5)
CALLS = st.lists(st.tuples(VOTES, st.sampled_from("abc"), st.sampled_from(["a", "b", None])), max_size=6)
PATTERNS = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from([Fraction(0), Fraction(1), Fraction(1, 3)])), min_size=1, max_size=4
).map(lambda answers: tuple(sorted(answers)))

ALL: dict[str, dict[str, Any]] = {
    "pairwise_agreement": {},
    "vote_entropy": {},
    "answer_distribution": {},
    "fleiss_kappa": {},
    "cohen_kappa": {"a": "m0", "b": "m1"},
    "krippendorff_alpha": {},
    "majority_accuracy": {},
    "oracle_accuracy": {},
    "selection_accuracy": {},
    "judge_overrides": {},
    "judge_choices": {},
    "accuracy_vs_size": {},
    "member_value": {},
    "error_correlation": {},
    "effective_votes": {},
    "agreement_calibration": {},
    "latency": {},
    "critical_path": {},
    "stragglers": {},
}


def ask(calls: list[tuple[Any, Any, Any]], first_id: int = 1) -> OperatorAnalysis:
    story = Story(first_id=first_id)
    for place, (answers, verdict, truth) in enumerate(calls):
        story.question(place, answers, verdict, truth)
    return OperatorAnalysis(LocalSource(story.forest()))


@given(CALLS)
@settings(max_examples=60, deadline=None)
def test_shares_stay_within_their_bounds_and_intervals_hold_their_value(calls: list[tuple[Any, Any, Any]]) -> None:
    asked = ask(calls)
    for name in ("oracle_accuracy", "majority_accuracy", "selection_accuracy"):
        found = getattr(asked, name)()
        assert math.isnan(found) or 0 <= found <= 1
        if not math.isnan(found.interval[0]):
            assert 0 <= found.interval[0] <= found <= found.interval[1] <= 1
    for row in asked.pairwise_agreement():
        assert 0 <= row["low"] <= row["agreement"] <= row["high"] <= 1
    for row in asked.error_correlation():
        assert row["correlation"] is None or -1 <= row["correlation"] <= 1
    for kappa in (asked.fleiss_kappa(), asked.cohen_kappa("m0", "m1"), asked.krippendorff_alpha()):
        assert math.isnan(kappa) or kappa <= 1 + 1e-9
    for row in asked.vote_entropy().values():
        assert 0 <= row <= math.log2(3) + 1e-9
    calibration = asked.agreement_calibration()
    assert all(0 <= calibration[name] <= 1 for name in ("ece", "brier") if name in calibration)


@given(CALLS)
@settings(max_examples=40, deadline=None)
def test_sums_that_must_be_one(calls: list[tuple[Any, Any, Any]]) -> None:
    asked = ask(calls)
    overrides = {name: share for name, share in asked.judge_overrides().items() if name != "overridden"}
    assert not overrides or math.isclose(math.fsum(overrides.values()), 1)
    shares = [row["share"] for row in asked.answer_distribution()]
    assert not shares or math.isclose(math.fsum(shares), 1)
    path = asked.critical_path()
    assert not path or math.isclose(math.fsum(row["share"] for row in path), 1)


@given(CALLS)
@settings(max_examples=60, deadline=None)
def test_shapley_values_of_a_stage_add_up_to_the_accuracy_of_all(calls: list[tuple[Any, Any, Any]]) -> None:
    asked = ask(calls)
    rows = asked.member_value()
    whole = asked.majority_accuracy().of_attempted
    if rows:
        assert math.isclose(math.fsum(row["shapley"] for row in rows), whole, abs_tol=1e-9)
    largest = asked.accuracy_vs_size()
    sizes = {len(answers) for answers, _, truth in calls if truth is not None}
    if len(sizes) == 1 and largest:
        assert math.isclose(largest[-1]["accuracy"], whole, abs_tol=1e-9)


@given(st.lists(st.sampled_from("ab"), min_size=2, max_size=5))
@settings(deadline=None)
def test_mirrored_members_are_worth_the_same_and_a_silent_one_nothing(votes: list[str]) -> None:
    """m0 and m1 change places from one item to the other; the last never says anything."""
    other = [votes[1], votes[0], *votes[2:]]
    rows = {row["member"]: row for row in ask([(["x", *v, None], None, "a") for v in (votes, other)]).member_value()}
    assert rows["m1"]["shapley"] == rows["m2"]["shapley"]
    silent = rows[f"m{len(votes) + 1}"]
    assert (silent["shapley"], silent["leave_one_out"], silent["answered"]) == (0, 0, 0)


@given(PATTERNS)
@settings(max_examples=60, deadline=None)
def test_shapley_is_the_mean_gain_over_all_orders(answers: tuple[tuple[int, Fraction], ...]) -> None:
    votes = [place for place, (count, _) in enumerate(answers) for _ in range(count)][:6]
    counts = [votes.count(place) for place in range(len(answers))]
    kept = tuple((count, share) for count, (_, share) in zip(counts, answers, strict=True) if count)
    shares = tuple(share for _, share in kept)
    votes = [place for place, (count, _) in enumerate(kept) for _ in range(count)]
    gains = dict.fromkeys(kept, Fraction(0))
    orders = list(itertools.permutations(votes))
    for order in orders:
        have = [0] * len(kept)
        for vote in order:
            before = value_of(tuple(have), shares)
            have[vote] += 1
            gains[kept[vote]] += value_of(tuple(have), shares) - before
    found = shapley_of(kept)
    for answer, total in gains.items():
        members = sum(count for count, share in kept if (count, share) == answer)
        assert found[answer].value == total / len(orders) / members


@given(PATTERNS, st.integers(0, 2), st.data())
@settings(max_examples=60, deadline=None)
def test_majority_of_subsets_is_the_mean_over_all_of_them(
    answers: tuple[tuple[int, Fraction], ...], silent: int, data: st.DataObject
) -> None:
    votes = [place for place, (count, _) in enumerate(answers) for _ in range(count)] + [-1] * silent
    size = data.draw(st.integers(1, min(4, len(votes))))
    shares = tuple(share for _, share in answers)
    for replacement in (False, True):
        draws = list(itertools.product(votes, repeat=size) if replacement else itertools.combinations(votes, size))
        if len(draws) > 20_000:
            continue
        values = [value_of(tuple(draw.count(place) for place in range(len(answers))), shares) for draw in draws]
        assert majority_of(answers, silent, size, replacement).value == sum(values, Fraction(0)) / len(draws)


def test_samples_come_close_to_what_is_exact() -> None:
    answers = tuple(sorted(((30, Fraction(1)), (20, Fraction(0)), (25, Fraction(0)), (9, Fraction(1, 2)))))
    sampled = shapley_of(answers)
    total = sum(count * float(sampled[count, share].value) for count, share in answers)
    assert math.isclose(total, 1.0, abs_tol=1e-9)
    assert all(0 < worth.variance < 1e-3 for worth in sampled.values())
    from embertrace.analysis.subsets import _sampled_majority

    exact, drawn = majority_of(answers, 3, 5, False), _sampled_majority(answers, 3, 5, False)
    assert exact.variance == 0 < drawn.variance
    assert abs(exact.value - drawn.value) < 5 * math.sqrt(drawn.variance)


@given(CALLS, st.integers(2, 1_000_000))
@settings(max_examples=25, deadline=None)
def test_the_numbers_of_calls_do_not_matter(calls: list[tuple[Any, Any, Any]], first_id: int) -> None:
    one, other = ask(calls), ask(calls, first_id)
    for name, options in ALL.items():
        if name not in ("latency", "critical_path", "stragglers"):
            assert getattr(one, name)(**options).to_data() == getattr(other, name)(**options).to_data(), name


@given(st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_chain_adds_up_to_the_duration_of_its_root(dice: random.Random) -> None:
    story = Story()

    def grow(parent: Begun | None, depth: int) -> None:
        call = story.begin("m", parent=parent, at=1e9 + dice.random() * 10, follows=0)
        for _ in range(dice.randint(0, 3) if depth else 0):
            grow(call, depth - 1)
        story.end(call, took=dice.random() * 10)

    grow(None, 3)
    (root,) = story.forest().trees.roots
    assert sum(step.own_ns for step in chain(root)) == root.duration_ns
    assert all(step.own_ns >= 0 for step in chain(root))


def test_nothing_is_answered_by_nothing() -> None:
    asked = OperatorAnalysis([])
    for name, options in ALL.items():
        found = getattr(asked, name)(**options)
        assert (isinstance(found, float) and math.isnan(found) and found.n == 0) or len(found) == 0, name
        assert found.left_out == {}
        assert found.notes == ()
        assert getattr(asked.by("stage"), name)(**options) == {}


@given(CALLS)
@settings(max_examples=60, deadline=None)
def test_no_interval_says_that_all_is_certain(calls: list[tuple[Any, Any, Any]]) -> None:
    """However alike the items are: others might differ. Only the bounds of latencies are durations that occurred."""
    asked = ask(calls)
    for name in [*(ALL.keys() - {"latency"}), "judge_lift", "judge_accuracy_by_agreement", "ensemble_disagreement"]:
        found = getattr(asked, name)(**ALL.get(name, {}))
        for low, high in intervals(found.to_data()):
            assert low is None or low < high, (name, found)


def intervals(data: Any) -> Iterator[tuple[float | None, float | None]]:
    """Every interval within a result's plain data: of estimates, and the columns of rows."""
    if isinstance(data, dict):
        if "interval" in data:
            yield tuple(data["interval"])
        for low in data.keys() & {"low", "leave_one_out_low", "accuracy_low"}:
            yield data[low], data[low.replace("low", "high")]
    for part in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from intervals(part)
