"""`embertrace compare` on recordings."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

from support.forests import Story
from support.told import record


def embertrace(*arguments: object, code: int = 0) -> str:
    command = [sys.executable, "-c", "from embertrace.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def told(directory: pathlib.Path, run: str, verdicts: str, first: int = 0, **about: Any) -> pathlib.Path:
    story = Story(run=run)
    story.describe_run(run, name=run, status="finished", **about)
    for place, verdict in enumerate(verdicts, first):
        story.question(f"q{place}", "aab", verdict, "a")
    return record(directory, story.events)


def test_two_recordings(tmp_path: pathlib.Path) -> None:
    before = told(tmp_path / "one", "monday", "abba", config={"model": "small"})
    after = told(tmp_path / "two", "tuesday", "aaaaa", config={"model": "large"})
    text = embertrace("compare", before, after)
    assert "right answers of judge, monday → tuesday" in text
    assert "0.5 → 1: +0.5" in text and "exact McNemar: p = 0.5; 2 gained, 0 lost, 2 equal" in text
    assert "1 items after only: q4" in text and "config model: 'small' → 'large'" in text
    data = json.loads(embertrace("compare", before, after, "--json"))
    assert [flip["item"] for flip in data["flips"]] == ["q1", "q2"]
    assert json.loads(embertrace("compare", before, after, "--on", "majority", "--json"))["difference"] == 0
    assert "none of judge, majority, calls" in embertrace("compare", before, after, "--on", "x", code=2)


def test_answers_that_stand_for_none(tmp_path: pathlib.Path) -> None:
    before, after = told(tmp_path / "one", "monday", "abba"), told(tmp_path / "two", "tuesday", "aaaa")
    data = json.loads(embertrace("compare", before, after, "--abstain", "b", "--abstain", "c", "--json"))
    assert (data["n"], data["failed"]) == (2, {"before": 2, "after": 0})
    story = Story(run="numbers")
    for key in range(3):
        story.question(key, [0, 0, 7], truth=7)
    recorded = record(tmp_path / "three", story.events)
    (given, doubted) = (embertrace("report", recorded, *more) for more in ((), ("--abstain", "0")))
    assert "majority" in given and given != doubted and "3 abstained" not in given


def test_two_runs_without_common_items(tmp_path: pathlib.Path) -> None:
    before, others = told(tmp_path / "one", "monday", "a"), told(tmp_path / "two", "tuesday", "a", first=1)
    assert "no item is in both" in embertrace("compare", before, others)
    assert json.loads(embertrace("compare", before, others, "--json"))["p_value"] is None


def test_a_run_without_judges(tmp_path: pathlib.Path) -> None:
    before, empty = told(tmp_path / "one", "monday", "a"), told(tmp_path / "two", "tuesday", "")
    assert "there is no judge call after" in embertrace("compare", before, empty)
    assert json.loads(embertrace("compare", before, empty, "--json"))["p_value"] is None
