"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

import embertrace as et

TESTS = """
import pytest
import embertrace as et

@et.trace(type="member", name="member")
def member(value):
    return value

def test_events(embertrace_events):
    assert member(1) == 1
    (call,) = et.OperatorAnalysis(embertrace_events).calls
    assert call.result == 1

def test_good():
    assert member("yes") == "yes"

@pytest.mark.parametrize("value", [1, 2])
def test_param(value):
    assert member(value) == 1

def test_skipped():
    pytest.skip("not today")
"""


def run_pytest(directory: pathlib.Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    (directory / "test_it.py").write_text(TESTS)
    # Without autoload the plugin is the same whether or not its entry point is installed.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "embertrace.pytest_plugin", "-p", "no:cacheprovider", "test_it.py"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        cwd=directory, env=environment, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip


def test_the_fixture_collects_and_nothing_is_recorded_unasked(tmp_path: pathlib.Path) -> None:
    done = run_pytest(tmp_path, "-q")
    assert "1 failed, 3 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["test_it.py"]


def test_the_option_records_every_test_as_an_item(tmp_path: pathlib.Path) -> None:
    done = run_pytest(tmp_path, "--embertrace-record", tmp_path / "rec")
    assert "1 failed, 3 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert "embertrace: recording to" in done.stdout
    analysis = et.open(tmp_path / "rec").run("pytest")
    keys = {call.item["key"]: call.result for call in analysis.calls}
    assert keys == {
        "test_it.py::test_events": 1,
        "test_it.py::test_good": "yes",
        "test_it.py::test_param[1]": 1,
        "test_it.py::test_param[2]": 2,
    }
    passed = {metric.item["key"]: metric.data["passed"] for metric in analysis.selection().trees.scores}
    assert passed == {key: key != "test_it.py::test_param[2]" for key in keys}


def test_a_recording_that_cannot_be_made_is_said_before_any_test(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_pytest(tmp_path, "--embertrace-record", tmp_path / "file")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--embertrace-record" in done.stderr and "passed" not in done.stdout
