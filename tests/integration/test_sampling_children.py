"""What is decided about an item, what is filtered out, and where events may lie, holds in child processes too."""

from __future__ import annotations

import concurrent.futures
import logging
import multiprocessing
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

import embertrace as et
from embertrace.config import Settings
from embertrace.sampling import Sampling
from support.sampled import failing, files_beside, member

KEYS = [f"q{number}" for number in range(6)]
CHOSEN = {key for key in KEYS if Sampling(Settings(sample=0.5)).chooses(key)}


@pytest.fixture(scope="module")
def pool() -> Iterator[concurrent.futures.Executor]:
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as made:
        yield made


def recorded(directory: pathlib.Path, program: Any, **settings: Any) -> et.OperatorAnalysis:
    """What a program leaves that is called about each item."""
    with et.session(directory, quiet=True, wait=30, **settings) as session:
        for key in KEYS:
            with et.item(key), et.operator("panel", type="ensemble", stage="ensemble_1") as panel:
                panel.result(program(key))
    return session.analysis()


def in_fork(key: str) -> list[str]:
    process = multiprocessing.get_context("fork").Process(target=member, args=("b",))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    return [member("a"), "b"]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_keeps_to_the_sample(tmp_path: pathlib.Path) -> None:
    analysis = recorded(tmp_path / "rec", in_fork, sample=0.5)
    assert {*KEYS} > CHOSEN
    assert {call.item["key"] for call in analysis.calls} == CHOSEN
    assert len(analysis.stage("members").calls) == 2 * len(CHOSEN)
    assert {call.share for call in analysis.calls} == {0.5}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_a_member_that_is_filtered_out_in_a_forked_child_makes_its_ensemble_incomplete(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="embertrace"):
        analysis = recorded(tmp_path / "rec", in_fork, types=("ensemble",))
    assert not [record for record in caplog.records if "missing" in record.message]
    assert analysis.health()["withheld"] == 2 * len(KEYS)
    assert [call.missing for call in analysis.calls] == [2] * len(KEYS)
    assert analysis.ensemble_disagreement().left_out == {"incomplete": len(KEYS)}


def test_a_pool_keeps_to_the_sample_and_keeps_errors(pool: concurrent.futures.Executor, tmp_path: pathlib.Path) -> None:
    def program(key: str) -> list[str]:
        with pytest.raises(ValueError, match=key):
            pool.submit(et.bind(failing), key).result()
        return [pool.submit(et.bind(member), "a").result(), member("b")]

    analysis = recorded(tmp_path / "rec", program, sample=0.5, keep_errors=True)
    assert {call.item["key"] for call in analysis.calls} == CHOSEN
    assert [(row["item"], row["operator"]) for row in analysis.errors()] == [(key, "failing") for key in KEYS]
    assert len(analysis.calls) == 4 * len(CHOSEN)


@pytest.mark.parametrize("delivery", ["memory", "spool"])
def test_a_child_keeps_no_files_where_its_parent_wants_none(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, delivery: Any
) -> None:
    spools = tmp_path / "spools"
    monkeypatch.setenv("EMBERTRACE_SPOOL_DIR", str(spools))
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found: list[str] = []

        def program(key: str) -> list[str]:
            mine = files_beside(str(spools))
            found.extend({*pool.submit(et.bind(files_beside), str(spools)).result()} - {*mine})
            return []

        analysis = recorded(tmp_path / "rec", program, delivery=delivery)
    assert bool(found) == (delivery == "spool")
    assert len(analysis.operator("files_beside").calls) == 2 * len(KEYS)
