"""The main job on real data: the demo's numbers are those of the published oracles."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import embertrace as et

raters = pytest.importorskip("embertrace.demo.raters")
if not raters.available():
    pytest.skip("vaderSentiment and afinn are not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def rated() -> et.OperatorAnalysis:
    with et.collect_events() as events:
        assert sum(1 for _ in raters.rate_words()) == raters.count_words() == 4850
    return et.OperatorAnalysis(events)


def rounded(table: Any) -> dict[str, tuple[float, int]]:
    return {name: (round(value, 3), value.n) for name, value in table.items()}


def test_three_raters(rated: et.OperatorAnalysis) -> None:
    found = rated.stage("plurality_3").judge_accuracy_by_agreement()
    assert rounded(found) == {"3/3": (0.974, 1838), "2/3": (0.731, 553), "1/3": (0.382, 34)}
    assert rated.stage("panel_3").ensemble_disagreement() == pytest.approx((553 / 2 + 34) / 2425)
    assert rated.stage("panel_3").non_unanimous_rate() == pytest.approx((553 + 34) / 2425)


def test_ten_raters(rated: et.OperatorAnalysis) -> None:
    found = rated.stage("plurality_10").judge_accuracy_by_agreement()
    assert [round(value, 3) for value in found.values()] == [0.998, 0.979, 0.946, 0.884, 0.634, 0.582, 0.448]
    assert list(found) == [f"{count}/10" for count in range(10, 3, -1)]


def test_the_judge_of_the_raters_is_the_majority_with_the_first_of_a_tie(rated: et.OperatorAnalysis) -> None:
    for size in raters.PANELS:
        majority = rated.stage(f"panel_{size}").majority_accuracy(ties="first")
        assert rated.stage(f"plurality_{size}").judge_accuracy() == majority


@pytest.mark.ray
def test_digits_on_ray(cluster: None, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("sklearn")
    from embertrace.demo import show

    seen: list[tuple[int, int]] = []

    @contextlib.contextmanager
    def progress(title: str, total: int) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, of: seen.append((done, of))

    analysis = show.trace_digits(tmp_path / "demo", None, progress)
    assert seen[-1] == (1497, 1497)

    by_agreement = analysis.judge_accuracy_by_agreement()
    near = {"3/3": 0.978, "2/3": 0.900, "1/3": 0.714}
    assert list(by_agreement) == list(near)
    assert all(by_agreement[name] == pytest.approx(share, abs=0.005) for name, share in near.items())
    assert analysis.judge_accuracy() == pytest.approx(0.941, abs=0.005)
    assert analysis.majority_accuracy() == pytest.approx(0.907, abs=0.005)
    assert analysis.majority_accuracy(ties="first") == pytest.approx(0.893, abs=0.005)
    assert analysis.ensemble_disagreement() == pytest.approx(0.1991, abs=0.005)
    assert analysis.non_unanimous_rate() == pytest.approx(0.342, abs=0.005)
    accuracies = {node["operator"]: node["accuracy"] for node in analysis.flow()["nodes"] if node["stage"] == "members"}
    assert accuracies == pytest.approx(
        {"naive-bayes": 0.812, "decision-tree": 0.741, "nearest-neighbours": 0.947}, abs=0.005
    )
    drawn = show.draw(analysis, tmp_path / "demo")
    assert "nearest-neighbours" in drawn.read_text(encoding="utf-8")
    assert drawn.with_suffix(".dot").read_text(encoding="utf-8").startswith("digraph")
