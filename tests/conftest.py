"""Fixtures for all tests: nothing leaks from one to the next, and one Ray cluster serves the whole session."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from embertrace import collect, context

TESTS = pathlib.Path(__file__).parent
sys.path.insert(0, str(TESTS))  # tests.support, importable as `support` in Ray workers too
os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
settings.register_profile("patient", deadline=None)  # a busy machine is no defect
settings.load_profile("patient")
_spools = tempfile.TemporaryDirectory(prefix="embertrace-tests-", ignore_cleanup_errors=True)
os.environ["EMBERTRACE_SPOOL_DIR"] = _spools.name  # of this process and its children: nothing goes to the real home
collect.configure(dataclasses.replace(collect.settings, spool_dir=_spools.name))
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"


MATRIX = "integration/test_context_matrix.py"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--matrix", action="store_true", help="run the context matrix alone, and print it as a table")


def pytest_ignore_collect(collection_path: pathlib.Path, config: pytest.Config) -> bool | None:
    if config.getoption("--matrix") and collection_path.suffix == ".py" and collection_path.name != "conftest.py":
        return collection_path != TESTS / MATRIX
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What stays together where several processes run tests: those of a file, and all that share the Ray cluster."""
    for item in items:
        shares_cluster = "cluster" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("ray" if shares_cluster else item.nodeid.partition("::")[0]))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The matrix, one line per row."""
    if not config.getoption("--matrix"):
        return
    rows = []
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            name = report.nodeid.partition("[")[2].rstrip("]")
            where, _, how = name.partition(": ")
            if how:
                rows.append((where, how, str(dict(report.user_properties).get("calls", "")), outcome))
    terminalreporter.section("where context flows")
    for where, how, calls, outcome in [("where", "how", "calls", "outcome"), *sorted(rows)]:
        terminalreporter.write_line(f"{where:<9}{how:<52}{calls:>7}  {outcome}")


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """A test leaves no sink, no scope, no settings and no position behind."""
    before = collect.settings
    yield
    left = collect.sinks
    if collect.settings is not before:  # such as a linger of 0, with which later tests' events come late, or not at all
        collect.configure(before)
    for sink in left:
        collect.remove_sink(sink)
    context.set_ground(context.NO_SCOPE)
    position = context.current.get()
    context.current.set(context.NOWHERE)
    assert not left, f"the test left sinks registered: {left}"
    assert position[0] is None, f"the test left a position behind: {position}"


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A small local Ray cluster, started once."""
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=4, object_store_memory=100_000_000, include_dashboard=False, logging_level="ERROR")
    yield
    ray.shutdown()
