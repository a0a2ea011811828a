"""What is decided about an item, and what is filtered out, holds in Ray workers too."""

from __future__ import annotations

import logging
import pathlib
import time

import pytest

import embertrace as et
from embertrace.config import Settings
from embertrace.sampling import Sampling

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.ray

KEYS = [f"q{number}" for number in range(6)]


def test_an_item_is_recorded_in_all_workers_or_in_none(cluster: None, tmp_path: pathlib.Path) -> None:
    from support.operators import Chooser, ask, failing, leaf

    with et.session(tmp_path / "rec", run="some", quiet=True, sample=0.5, keep_errors=True) as session:
        chooser = Chooser.remote()
        for key in KEYS:
            ask(chooser, key, "aab")
        for number in range(6):  # roots without an item: decided where they are submitted
            ray.get(leaf.remote("alone", str(number)))
        for key in KEYS:
            with et.item(key), pytest.raises(ValueError, match="no answer"), et.operator("trying"):
                ray.get(failing.remote(key))
        deadline = time.monotonic() + 60  # nobody else waits for what is outside the sample
        while len(session.analysis().errors()) < 2 * len(KEYS) and time.monotonic() < deadline:
            pass
    analysis = session.analysis()
    sampling = Sampling(Settings(sample=0.5))
    chosen = {key for key in KEYS if sampling.chooses(key)}
    assert chosen
    assert chosen < {*KEYS}
    assert {call.item["key"] for call in analysis.stage("ensemble_1").calls} == chosen
    assert analysis.stage("ensemble_1").ensemble_disagreement().n == len(chosen)
    assert {call.share for call in analysis.calls} == {0.5}
    assert [len(tree.children) for tree in analysis.trees if tree.operator_id == "pipeline"] == [2] * len(chosen)
    health = analysis.health()
    assert (health["open"], health["missing"], health["gaps"], health["unlinked"]) == (0, 0, 0, 0)
    errors = [(row["item"], row["operator"]) for row in analysis.errors()]
    assert sorted(errors) == sorted((key, name) for key in KEYS for name in ("trying", "failing"))


def test_members_that_are_filtered_out_in_workers_make_ensembles_incomplete_and_nobody_waits(
    cluster: None, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    from support.operators import Chooser, ask, leaf

    settings = {"stages": ("ensemble_1", "default", "judge_1")}
    with (
        caplog.at_level(logging.WARNING, logger="embertrace"),
        et.session(tmp_path / "rec", quiet=True, wait=60, **settings) as session,
        et.collect_events(wait=60) as events,
    ):
        chooser = Chooser.remote()
        for key in KEYS[:2]:
            ask(chooser, key, "aab")
        ray.get(leaf.remote("alone", "x"))
    assert not [record for record in caplog.records if "open" in record.message or "missing" in record.message]
    for analysis in (session.analysis(), et.OperatorAnalysis(events)):
        assert {call.operator_id for call in analysis.calls} == {"pipeline", "panel", "chooser"}
        disagreement = analysis.ensemble_disagreement()
        assert (disagreement.n, disagreement.left_out) == (0, {"incomplete": 2})
        assert any("6 calls below these were filtered out" in note for note in disagreement.notes)
        health = analysis.health()
        assert (health["open"], health["missing"], health["withheld"]) == (0, 0, 6)
        assert analysis.judge_accuracy().n == 2
