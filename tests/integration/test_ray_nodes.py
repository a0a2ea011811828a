"""Operators on several nodes, and through Ray Client: the embedded aggregator listens there, under a key of its own."""

from __future__ import annotations

import json
import pathlib

import pytest
from test_ray_instrument import run_python

pytest.importorskip("ray")
pytestmark = pytest.mark.ray

PROGRAM = pathlib.Path(__file__).parents[1] / "support" / "nodes.py"


def test_blocks_and_sessions_have_the_events_of_every_node(tmp_path: pathlib.Path) -> None:
    """Directly and through Ray Client, one after the other in one process, which had a block before all that."""
    pytest.importorskip("grpc")
    done = run_python(PROGRAM, {}, str(tmp_path), "directly", "client")
    assert "not known" not in done.stderr + done.stdout
    local, *lines = [line for line in done.stdout.splitlines() if line[:1] in "{["]
    assert local == "[(True, False)]", "on loopback: there are no other machines"
    directly, client = lines[:4], lines[4:]
    answers = ["{'3/3': 1.0, '2/3': 1.0} 0"] * 3  # a block, a live session, its recording
    assert directly == [*answers, "[(False, True), (False, True)]"], "not on loopback, and with a key"
    assert client == [*answers, "[(False, True)]"], "the block's aggregator is the one that is there"


def test_the_tasks_of_two_clusters_are_different_calls() -> None:
    """Ray gives the tasks of both the same ids, and one recording may hold the runs of both."""
    first, second = (
        json.loads(run_python(PROGRAM.with_name("clusters.py"), {}).stdout.splitlines()[-1]) for _ in range(2)
    )
    assert first[1] == second[1], "Ray's own ids"
    assert len(first[0]) == len(second[0]) == 3
    assert not {*first[0]} & {*second[0]}
