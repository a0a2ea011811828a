"""Each group of benchmarks runs, at sizes at which no figure means anything, is kept as JSON, and stands on the page.

Those that need Ray are left out: a cluster of their own each takes half a minute.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(place: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = ["--results", str(place), "--pages", str(place)]
    command = [sys.executable, str(ROOT / "tests" / "bench"), *arguments, "--short", "--runs", "1", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize("group", ["calls", "ingest", "analysis", "questions", "live", "idle", "scaling"])
def test_a_group_runs_is_kept_and_stands_on_the_page(group: str, tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, group)
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / f"{group}.json").read_text(encoding="utf-8"))
    assert kept["figures"]
    assert kept["versions"]["python"]
    told = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert all(figure["shown"] in told for figure in kept["figures"])
    assert f"`python3 dev.py bench {group} --runs 1 --short`" in told
    assert (tmp_path / "capacity.md").exists()


def test_unknown_names_are_refused(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, "nothing")
    assert done.returncode == 2
    assert "there is no benchmark nothing" in done.stderr
