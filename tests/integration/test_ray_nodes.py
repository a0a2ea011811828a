"""Operators on several nodes, and through Ray Client: the embedded aggregator listens there, under a key of its own."""

from __future__ import annotations

import pathlib

import pytest
from test_ray_instrument import run_python

pytest.importorskip("ray")
pytestmark = pytest.mark.ray

PROGRAM = pathlib.Path(__file__).parents[1] / "support" / "nodes.py"


@pytest.mark.parametrize("how", ["directly", "client"])
def test_blocks_and_sessions_have_the_events_of_every_node(tmp_path: pathlib.Path, how: str) -> None:
    if how == "client":
        pytest.importorskip("grpc")
    done = run_python(PROGRAM, {"PYTHONPATH": str(PROGRAM.parents[1])}, how, str(tmp_path))
    *answers, aggregators = [line for line in done.stdout.splitlines() if line[:1] in "{["]
    assert answers == ["{'3/3': 1.0, '2/3': 1.0} 0"] * 3  # a block, a live session, its recording
    assert aggregators == "[(False, True), (False, True)]", "not on loopback, and with a key"
