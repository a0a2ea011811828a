"""The pages of the benchmarks say what the results say, and nothing else; what is computed from them is right."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from bench import capacity, page, store
from bench.__main__ import GROUPS
from bench.harness import Figure, Timing, percentile, rows_of, table

ROOT = pathlib.Path(__file__).resolve().parents[2]
MACHINE = {"system": "Linux", "machine": "m", "processor": "a | b", "cores": 2, "memory_gib": 4.0, "load": 0.5}


def result(*figures: Figure, name: str = "calls") -> dict[str, Any]:
    return {
        "name": name,
        "about": "What it is.",
        "command": f"python3 dev.py bench {name}",
        "date": "2026-01-02",
        "seconds": 3.0,
        "machine": MACHINE,
        "versions": {"python": "3.11"},
        "figures": [figure.to_data() for figure in figures],
    }


def test_a_timing_is_a_median_with_its_spread() -> None:
    assert Timing((3.0, 1.0, 2.0)).median == 2.0
    assert Timing((3.0, 1.0, 2.0)).shown(1e3, 0) == "2,000 (1,000–3,000)"


@pytest.mark.parametrize(("share", "found"), [(0.0, 1.0), (0.5, 6.0), (0.95, 10.0), (1.0, 10.0)])
def test_percentiles(share: float, found: float) -> None:
    assert percentile([10.0, *map(float, range(1, 10))], share) == found


def test_tables_have_a_column_for_each_peer_and_none_that_is_empty() -> None:
    figures = [
        Figure("P1", "off", "1 ns", 1.0, peers={"other": "2 ns"}),
        Figure("P1", "on", "3 ns", 3.0, peers={"third": "4 ns"}),
    ]
    rows = rows_of([figure.to_data() for figure in figures])
    assert rows == [["", "what", "embertrace", "other", "third"], ["P1", "off", "1 ns", "2 ns", ""],
                    ["P1", "on", "3 ns", "", "4 ns"]]  # fmt: skip
    assert "third" in table(figures)


def test_the_page_names_each_target_met_missed_or_not_measured() -> None:
    told = page.page(
        [
            result(
                Figure("P1", "off", "100 ns", 1e-7, "≤ 150 ns", True),
                Figure("P2", "in the caller", "9 µs", 9e-6),
                Figure("P2", "  of a peer's", "1/3", 1 / 3, "≤ 1/12", False),
            )
        ]
    )
    assert "| P1 | off | 100 ns | ≤ 150 ns | met |" in told
    assert "| P2 | in the caller: of a peer's | 1/3 | ≤ 1/12 | MISSED |" in told
    assert "| P11 | doing nothing |  |  | not measured |" in told
    assert "`python3 dev.py bench calls`, 2026-01-02, 3 s. Linux on a | b, 2 cores, 4 GiB; load before: 0.5." in told


def test_capacity_is_computed_from_figures_and_says_which_are_missing() -> None:
    assert "bench analysis calls ingest size" in capacity.page([])
    values = {
        "call_cpu_spool": 10e-6,
        "ingest_rate": 2e6,
        "load_rate": 1e6,
        "resident_bytes": 100,
        "payload_bytes": 50,
        "call_bytes": 300,
    }
    told = capacity.page(
        [result(*(Figure("", key, "", value, key=key) for key, value in values.items()), name="ingest")]
    )
    assert "| 2 | 2,000,000 | 1,000,000 | 700,000 | analyst |" in told
    assert "The analyst breaks first: one carries 500,000 calls/s, so 3 shards are needed at 70%" in told
    assert "| 1,000,000 | 10.0 | 2.40 | 25.9 | 100% | never | 200% | 1.0 h | 14 s |" in told


def test_the_pages_in_the_docs_are_those_of_the_results() -> None:
    kept = store.read(store.RESULTS, GROUPS)
    assert (ROOT / "docs" / "performance.md").read_text(encoding="utf-8") == page.page(kept)
    assert (ROOT / "docs" / "capacity.md").read_text(encoding="utf-8") == capacity.page(kept)
