"""Judges held against labels: confusion, rates, kappa."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embertrace.analysis import OperatorAnalysis
from embertrace.analysis.source import LocalSource
from embertrace.errors import QueryError
from support.forests import Story


def verdicts(pairs: Iterable[tuple[Any, Any]], by: str = "human:ann", **labels: Any) -> OperatorAnalysis:
    """(label, what the judge said) of each item."""
    story = Story()
    for key, (truth, said) in enumerate(pairs):
        story.judge(said, item={"key": key})
        if truth is not None:
            story.label(key, truth, by=by, **labels)
    return OperatorAnalysis(LocalSource(story.forest()))


TABLE = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15


def test_confusion_rates_and_kappa_of_the_published_table() -> None:
    found = verdicts(TABLE).judge_vs_labels(positive="y")
    assert found["confusion"] == {"n": {"n": 15, "y": 10}, "y": {"n": 5, "y": 20}}
    assert found["accuracy"] == 0.7
    assert found["kappa"] == 0.4
    low, high = found["kappa"].interval
    assert 0.1 < low < 0.2 and 0.6 < high < 0.7  # 0.4 ± 1.96 · 0.131 (Fleiss, Cohen and Everitt 1969)
    assert (found["tpr"], found["tpr"].n) == (0.8, 25)
    assert (found["tnr"], found["tnr"].n) == (0.6, 25)
    assert found["tpr"].interval[0] < 0.8 < found["tpr"].interval[1]


def test_the_positive_answer_is_true_or_is_to_be_named() -> None:
    found = verdicts([(True, True), (True, False), (False, False)]).judge_vs_labels()
    assert (found["tpr"], found["tnr"]) == (0.5, 1.0)
    unnamed = verdicts(TABLE).judge_vs_labels()
    assert math.isnan(unnamed["tpr"]) and "positive=" in unnamed["tpr"].notes[0]
    assert unnamed["accuracy"] == 0.7
    nowhere = verdicts(TABLE).judge_vs_labels(positive="maybe")
    assert math.isnan(nowhere["tpr"]) and nowhere["tpr"].notes == ("nothing is 'maybe': n, y",)
    with pytest.raises(QueryError, match="positive"):
        verdicts(TABLE).judge_vs_labels(positive="maybe", answer="number")


def test_one_answer_against_the_rest() -> None:
    found = verdicts([("a", "a"), ("a", "b"), ("b", "c"), ("c", "a")]).judge_vs_labels(positive="a")
    assert (found["tpr"], found["tnr"]) == (0.5, 0.5)


def test_rules_accepted_lists_and_annotators() -> None:
    pairs = [("Yes ", "yes"), (["no", "nope"], "Nope"), (["no", "nope"], "yes")]
    found = verdicts(pairs).judge_vs_labels(answer="casefold")
    assert found["confusion"]["no"] == {"no": 0, "nope": 0, "yes": 1}
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert verdicts(TABLE, by="model:x").judge_vs_labels(by="human:") == {}
    assert verdicts(TABLE, by="model:x").judge_vs_labels(by="human:").unlabelled == 50
    assert verdicts(TABLE).judge_vs_labels(by="human:ann")["kappa"] == 0.4


def test_what_can_not_be_held_against_a_label_is_left_out() -> None:
    story = Story()
    for key in range(4):
        story.label(key, "a")
    story.judge("a", item={"key": 0})
    story.label(4, "b")
    story.judge("a", item={"key": 4})
    story.judge(None, item={"key": 1})
    story.end(story.begin("chooser", "judge", item={"key": 2}), error="ValueError")
    story.begin("chooser", "judge", item={"key": 3})
    story.judge("a", item={"key": 9})
    found = OperatorAnalysis(LocalSource(story.forest())).judge_vs_labels(positive="a")
    assert found.left_out == {"abstained": 1, "failed": 1, "open": 1, "unlabelled": 1}
    assert (found["accuracy"], found["accuracy"].of_attempted) == (0.5, 0.25)
    assert (found["tpr"], found["tpr"].of_attempted) == (1, pytest.approx(1 / 3))
    assert (found["tnr"], found["tnr"].of_attempted) == (0, 0)


def test_labels_and_answers_that_are_all_equal_have_no_kappa() -> None:
    kappa = verdicts([("a", "a")] * 3).judge_vs_labels()["kappa"]
    assert math.isnan(kappa) and kappa.notes


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ab")), min_size=1, max_size=30))
def test_kappa_is_the_librarys(pairs: list[tuple[str, str]]) -> None:
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    kappa = verdicts(pairs).judge_vs_labels()["kappa"]
    table = [[pairs.count((truth, said)) for said in "ab"] for truth in "ab"]
    if math.isnan(kappa):
        assert len({*pairs}) == 1
    else:
        assert kappa == pytest.approx(float(inter_rater.cohens_kappa(table, return_results=False)))


ODD: list[Any] = [{"label": "y"}, {"label": "n"}, "\ud800", "\ud801", 2**70, float("nan"), b"y", ("y", "n")]


def test_answers_and_labels_of_any_kind_are_classes() -> None:
    """Those whose keys say not what they are of too: mappings, and texts that are no UTF-8."""
    found = verdicts([(value, value) for value in ODD]).judge_vs_labels(positive={"label": "y"})
    assert found["accuracy"] == found["tpr"] == found["tnr"] == 1
    names = found["confusion"].keys()
    assert len(names) == len(ODD) and {"{'label': 'y'}", "nan", str(2**70), r"'\ud800'"} <= names
    json.dumps(found.to_data(), allow_nan=False)
    missed = verdicts([({"label": "y"}, {"label": "n"})]).judge_vs_labels(positive={"label": "?"})
    assert missed["confusion"]["{'label': 'y'}"] == {"{'label': 'n'}": 1, "{'label': 'y'}": 0}
    assert missed["tpr"].notes == ("nothing is {'label': '?'}: {'label': 'n'}, {'label': 'y'}",)
