"""Where context flows: every row of the matrix, traced beside untraced (TARGETS R13).

Per row: results, errors and kinds equal the untraced run's; each call has the right parent among interleaved ones, in
all rows together more than 10,000; nothing is left behind. `python3 dev.py test --matrix` runs this file alone, with
10,000 interleaved calls in each row, and prints the table.
"""

from __future__ import annotations

import pathlib
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import embertrace as et
from embertrace import collect, context

pytest.importorskip("ray")
from support.matrix import ROWS, Kit, Row

pytestmark = pytest.mark.ray

CALLS, FULL_CALLS = 1_000, 10_000


def test_the_page_has_the_rows_of_the_matrix() -> None:
    page = pathlib.Path(__file__).parents[2] / "docs" / "where-context-flows.md"
    lines = [line.split(" | ")[:2] for line in page.read_text().splitlines() if line.startswith("| ")]
    assert [f"{where.lstrip('| ')}: {how}" for where, how in lines[2:]] == [row.name for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_context_flows(
    cluster: None, row: Row, pytestconfig: pytest.Config, record_property: Callable[[str, object], None]
) -> None:
    calls = FULL_CALLS if pytestconfig.getoption("--matrix") else CALLS
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork", DeprecationWarning)
        untraced, traced = row.make(Kit(traced=False)), row.make(Kit(traced=True))
        plain = [outcome(untraced(i, 3)) for i in range(2)]
        assert [outcome(traced(i, 3)) for i in range(2)] == plain, "off, it is not as without it"

        with et.collect_events(wait=30) as events:
            assert [outcome(traced(i, 3)) for i in range(2)] == plain
        assert below_questions(events) == {i: list(range(3)) for i in range(2)}

        width = calls // row.interleaved
        with et.collect_events(wait=60) as events:
            thunks = [traced(i, width) for i in range(row.interleaved)]
            for thunk in thunks:
                outcome(thunk)
        assert below_questions(events) == {i: list(range(width)) for i in range(row.interleaved)}
        health = et.OperatorAnalysis(events).health()
        assert (health["open"], health["missing"], health["lost"]) == (0, 0, 0)
    assert context.current.get()[:2] == context.NOWHERE[:2]
    assert not collect.sinks
    record_property("calls", row.interleaved * width)


def outcome(thunk: Callable[[], Any]) -> Any:
    """What came of a call: its value, or its error with types, messages, causes and the user's lines."""
    try:
        return "result", thunk()
    except Exception as error:
        return "error", _chain(error)


def _chain(error: BaseException | None) -> list[Any]:
    if error is None:
        return []
    message = str(error).splitlines()[-1:]  # what comes before holds process ids and traced frames
    lines = [frame.name for frame in traceback.extract_tb(error.__traceback__) if "/embertrace/" not in frame.filename]
    return [type(error).__name__, message, lines, _chain(error.__cause__)]


def below_questions(events: Any) -> dict[int, list[int]]:
    """{i: [k, …]} as the tree has it: inner(i, k) below outer(i)."""
    analysis = et.OperatorAnalysis(events)
    found: dict[int, list[int]] = {}
    for call in analysis.calls:
        assert call.operator_id in ("outer", "inner", "middle", "Operator.idle"), call
        if call.operator_id == "outer":
            (i, *_), children = call.args, call.children
            assert i not in found, "one question, two calls"
            assert all(child.operator_id == "inner" and child.args[-2] == i for child in children), (i, children)
            found[i] = sorted(child.args[-1] for child in children)
            assert sum(found[i]) >= 0
        elif call.operator_id == "inner":
            assert call.parent is not None, f"{call} has no parent"
    return found
