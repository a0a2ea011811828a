"""Published values, and such as can be computed exactly, through the public door."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import pytest

import embertrace as et
from embertrace.analysis import OperatorAnalysis
from embertrace.analysis.source import LocalSource
from embertrace.demo import raters
from embertrace.errors import QueryError
from support.forests import Story

pytest.importorskip("statsmodels")
pytest.importorskip("krippendorff")

FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip
"""Ten subjects, fourteen raters, five categories: the example by which Fleiss' kappa is usually shown."""

EXAMPLE_C: list[list[int | None]] = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
"""Krippendorff 2011, example C: four observers, twelve units."""

PACKAGES_OWN: list[list[int | None]] = [
    [None] * 5 + [3, 4, 1, 2, 1, 1, 3, 3, None, 3],
    [1, None, 2, 1, 3, 3, 4, 3] + [None] * 7,
    [None, None, 2, 1, 3, 4, 4, None, 2, 1, 1, 3, 3, None, 4],
]


def asked_of(calls: Iterable[Sequence[Any]], truth: Any = None) -> OperatorAnalysis:
    """Ensemble calls with these answers, each about an item of its own."""
    story = Story()
    for place, answers in enumerate(calls):
        story.question(place, answers, truth=truth)
    return OperatorAnalysis(LocalSource(story.forest()))


def by_unit(raters: Sequence[Sequence[Any]]) -> OperatorAnalysis:
    return asked_of(list(unit) for unit in zip(*raters, strict=True))


def spread(counts: Sequence[int]) -> list[int]:
    return [value for value, count in enumerate(counts) for _ in range(count)]


# Agreement beyond chance.


def test_fleiss_and_randolph() -> None:
    asked = asked_of(spread(counts) for counts in FLEISS)
    kappa = asked.fleiss_kappa()
    assert kappa == pytest.approx(0.20993, abs=5e-6)
    assert asked.fleiss_kappa(chance="randolph") == pytest.approx(0.22253, abs=5e-6)
    assert (kappa.n, kappa.items) == (10, 10)
    low, high = kappa.interval
    assert -1 <= low < kappa < high <= 1


def test_fleiss_takes_the_modal_number_of_raters() -> None:
    asked = asked_of([*(spread(counts) for counts in FLEISS), [1, 2, 3], [1, None]])
    assert asked.fleiss_kappa() == pytest.approx(0.20993, abs=5e-6)
    assert asked.fleiss_kappa().left_out == {"with another number of answers": 1, "with fewer than two answers": 1}


def test_cohen() -> None:
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    asked = asked_of(pairs)
    kappa = asked.cohen_kappa("m0", "m1")
    assert kappa == pytest.approx(0.4)
    assert asked.cohen_kappa("m1", "m0") == pytest.approx(0.4)
    low, high = kappa.interval
    assert kappa.n == 50 and 0.1 < low < 0.4 < high < 0.7
    assert "no member is called m7; there are m0, m1" in asked.cohen_kappa("m0", "m7").notes
    with pytest.raises(QueryError, match="names of two members"):
        asked.cohen_kappa("m0", "m0")


@pytest.mark.parametrize(
    ("level", "value"), [("nominal", 0.7434), ("ordinal", 0.8154), ("interval", 0.8491), ("ratio", 0.7974)]
)
def test_krippendorff_2011(level: Any, value: float) -> None:
    alpha = by_unit(EXAMPLE_C).krippendorff_alpha(level)
    assert alpha == pytest.approx(value, abs=5e-5)
    assert (alpha.n, alpha.left_out) == (11, {"with fewer than two answers": 1})
    low, high = alpha.interval
    assert low < alpha <= high <= 1


def test_krippendorff_package_sample() -> None:
    assert by_unit(PACKAGES_OWN).krippendorff_alpha() == pytest.approx(0.691358, abs=5e-7)
    assert by_unit(PACKAGES_OWN).krippendorff_alpha("interval") == pytest.approx(0.810845, abs=5e-7)


def test_alpha_of_texts_with_numbers_in_them() -> None:
    asked = by_unit([[f"I say {value}" if value else None for value in row] for row in EXAMPLE_C])
    assert asked.krippendorff_alpha("interval", answer="number") == pytest.approx(0.8491, abs=5e-5)
    assert math.isnan(asked.krippendorff_alpha("interval"))
    assert asked.krippendorff_alpha("interval").left_out["answers that are no numbers"] == 41


def test_constant_ratings_have_no_kappa_and_a_reason() -> None:
    asked = asked_of([["a", "a"]] * 4)
    for found in (asked.fleiss_kappa(), asked.cohen_kappa("m0", "m1"), asked.krippendorff_alpha()):
        assert math.isnan(found) and found.n == 4
        assert "all ratings are equal" in found.notes[0]


# Majorities of subsets.


def test_condorcet() -> None:
    """Ten members of whom seven are right; drawn with replacement, they are independent."""
    rows = asked_of([["yes"] * 7 + ["no"] * 3], "yes").accuracy_vs_size(sizes=[1, 3, 5, 7], replacement=True)
    assert [row["accuracy"] for row in rows] == pytest.approx([0.7, 0.784, 0.83692, 0.873964], abs=1e-9)
    assert {row["error"] for row in rows} == {0.0}


def test_oracle_of_independent_members() -> None:
    """All patterns of three members who are right with 7 in 10, as often as they occur in 1,000 calls."""
    patterns = [(right, 7**right * 3 ** (3 - right) * math.comb(3, right)) for right in range(4)]
    asked = asked_of((["y"] * right + ["n"] * (3 - right) for right, times in patterns for _ in range(times)), "y")
    assert asked.oracle_accuracy() == pytest.approx(0.973)
    assert asked.majority_accuracy() == pytest.approx(0.784)
    (one, two, three) = asked.accuracy_vs_size()
    assert [one["accuracy"], two["accuracy"], three["accuracy"]] == pytest.approx([0.7, 0.7, 0.784])
    assert (three["n"], three["items"]) == (1000, 1000)


MIXTURE = {1: 0.670, 3: 0.7043, 5: 0.711, 9: 0.7032, 15: 0.6849, 25: 0.6615, 51: 0.6294, 101: 0.6084}


def test_accuracy_can_fall_as_members_are_added() -> None:
    """Three of five items are easy (.85), two hard (.4)."""
    calls = [["y"] * 17 + ["n"] * 3] * 3 + [["y"] * 8 + ["n"] * 12] * 2
    rows = asked_of(calls, "y").accuracy_vs_size(sizes=list(MIXTURE), replacement=True)
    assert {row["size"]: row["accuracy"] for row in rows} == pytest.approx(MIXTURE, abs=5e-5)


def test_agreement_of_three_with_four_choices() -> None:
    """All votes of three members on a mixture of items, as often as they occur (rounded) in 4,000 calls."""
    story = Story()
    votes = [(a, b, c) for a in range(4) for b in range(4) for c in range(4)]
    for share, p in ((0.6, 0.85), (0.4, 0.4)):
        for vote in votes:
            times = share * math.prod(p if one == 0 else (1 - p) / 3 for one in vote)
            for _ in range(round(4000 * times)):
                story.ensemble(vote, item={"truth": 0, "key": len(story.events)})
    found = OperatorAnalysis(LocalSource(story.forest())).agreement_calibration()
    assert {name: float(row) for name, row in found["accuracy"].items()} == pytest.approx(
        {"3/3": 0.9757, "2/3": 0.7079, "1/3": 0.2918}, abs=4e-3
    )
    n = sum(row.n for row in found["accuracy"].values())
    assert [row.n / n for row in found["accuracy"].values()] == pytest.approx([0.404, 0.438, 0.158], abs=2e-3)


def test_shapley_by_hand() -> None:
    """The glove game's cousin: m0 alone is right; with two wrong and equal votes against it, it still adds v = 1/3."""
    (row, *others) = asked_of([["y", "n", "n"]], "y").member_value()
    # orders: y first (1), then n → 1/2, then n → 0; n y n: 0 → 1/2 → 0; n n y: 0, 0, 0
    assert row["member"] == "m0"
    assert row["shapley"] == pytest.approx(float((Fraction(1) * 2 + Fraction(1, 2) * 2 + 0) / 6))
    assert [other["shapley"] for other in others] == pytest.approx([-0.25, -0.25])


def test_effective_votes_of_copies_and_of_independent_members() -> None:
    copies = asked_of([["y", "y", "y"]] * 5 + [["n", "n", "n"]] * 5, "y").effective_votes()["ensemble_1"]
    assert copies == pytest.approx(1.0)
    pairs = [["y", "y"], ["y", "n"], ["n", "y"], ["n", "n"]] * 5
    asked = asked_of(pairs, "y")
    assert asked.effective_votes()["ensemble_1"] == pytest.approx(2.0)
    (row,) = asked.error_correlation()
    assert row["correlation"] == 0.0
    assert row["low"] < 0 < row["high"]


def test_entropy_and_calibration_by_hand() -> None:
    asked = asked_of([["a", "a"], ["a", "b"], ["a", "a", "b", "b"], ["a", "b", "c", "d"]], "a")
    assert asked.vote_entropy()["ensemble_1"] == pytest.approx((0 + 1 + 1 + 2) / 4)
    found = asked.agreement_calibration()
    assert dict(found["accuracy"]) == {"2/2": 1.0, "2/4": 0.5, "1/2": 0.5, "1/4": 0.25}
    assert found["ece"] == 0.0
    assert found["brier"] == pytest.approx((0 + 0.25 + 0.25 + 0.25 * 0.5625 + 0.75 * 0.0625) / 4)


# Human raters.

needs_raters = pytest.mark.skipif(not raters.available(), reason="vaderSentiment and afinn are not installed")


@pytest.fixture(scope="module")
def words() -> OperatorAnalysis:
    """2,425 words, each rated by ten people; three and ten of them vote on the sign."""
    with et.collect_events() as events:
        for _ in raters.rate_words():
            pass
    return OperatorAnalysis(events)


@needs_raters
def test_human_raters_by_agreement(words: OperatorAnalysis) -> None:
    three = words.stage("panel_3").agreement_calibration(ties="first")
    shares = {"3/3": (0.974, 1838), "2/3": (0.731, 553), "1/3": (0.382, 34)}
    assert {name: row.n for name, row in three["accuracy"].items()} == {name: n for name, (_, n) in shares.items()}
    assert {name: float(row) for name, row in three["accuracy"].items()} == pytest.approx(
        {name: share for name, (share, _) in shares.items()}, abs=5e-4
    )
    ten = words.stage("panel_10").agreement_calibration(ties="first")["accuracy"]
    assert [float(ten[f"{k}/10"]) for k in range(10, 3, -1)] == pytest.approx(
        [0.998, 0.979, 0.946, 0.884, 0.634, 0.582, 0.448], abs=5e-4
    )


@needs_raters
def test_human_raters_disagree(words: OperatorAnalysis) -> None:
    asked = words.stage("panel_3")
    assert asked.ensemble_disagreement() == pytest.approx((553 / 2 + 34) / 2425)
    assert asked.non_unanimous_rate() == pytest.approx((553 + 34) / 2425)
    rows = asked.pairwise_agreement()
    mean = sum(row["agreement"] for row in rows) / 3
    # of three raters, a majority of two has one agreeing pair of three, a unanimous one three
    assert mean == pytest.approx((1838 + 553 / 3) / 2425)


@needs_raters
def test_human_raters_kappas_are_those_of_the_libraries_on_the_raw_table(words: OperatorAnalysis) -> None:
    import krippendorff
    import numpy as np
    from statsmodels.stats import inter_rater

    ratings, truths = raters._ratings(), raters._truths()
    table = np.array([[raters._sign(r) for r in ratings[word]] for word in ratings if word in truths])
    asked = words.stage("panel_10")
    counts, _ = inter_rater.aggregate_raters(table)
    assert asked.fleiss_kappa() == pytest.approx(inter_rater.fleiss_kappa(counts))
    for level in ("nominal", "interval", "ordinal"):
        alpha = krippendorff.alpha(reliability_data=table.T, level_of_measurement=level)
        assert asked.krippendorff_alpha(level) == pytest.approx(alpha)
    pair = inter_rater.to_table(table[:, :2])[0]
    assert asked.cohen_kappa("rater-1", "rater-2") == pytest.approx(inter_rater.cohens_kappa(pair).kappa)
    low, high = asked.fleiss_kappa().interval
    assert high - low < 0.05


@needs_raters
def test_human_raters_are_worth_their_votes(words: OperatorAnalysis) -> None:
    asked = words.stage("panel_10")
    rows = asked.member_value()
    assert sum(row["shapley"] for row in rows) == pytest.approx(asked.majority_accuracy(), abs=1e-9)
    assert {row["error"] for row in rows} == {0.0}
    sizes = asked.accuracy_vs_size()
    assert sizes[-1]["accuracy"] == pytest.approx(float(asked.majority_accuracy()))
    assert [row["accuracy"] for row in sizes[::2]] == sorted(row["accuracy"] for row in sizes[::2])
    assert sizes[0]["accuracy"] == pytest.approx(sum(row["accuracy"] for row in rows) / 10)
    assert 1 < asked.effective_votes()["panel_10"] < 10
