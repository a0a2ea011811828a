"""What `top` says of a reading: sentences, tables, sorting, filtering, text of others; the connection; plain lines."""

from __future__ import annotations

import dataclasses
import json

import pytest

from embertrace.errors import QueryError
from embertrace.top.cells import clock, count, duration, fit, percent, rate, shown, some, some_share, width
from embertrace.top.feed import Continuity
from embertrace.top.model import (
    TABLES,
    Sentence,
    View,
    as_data,
    health,
    next_sort,
    pace,
    rows,
    snapshot_from,
    sort_by,
    title,
    wrapped,
)
from embertrace.top.plain import block
from support.tops import HOSTILE, NOW_NS, hostile, reading, state


def said(sentences: list[Sentence]) -> list[str]:
    return [sentence.text for sentence in sentences]


def column(table: str, name: str) -> int:
    return [known.name for known in TABLES[table]].index(name)


# Sentences.


def test_title_and_pace_of_known_numbers() -> None:
    found = reading()
    assert found.snapshot is not None
    assert title(found) == "monday at tcp://host:5557, up 60 min: the last 51 events"
    assert said(pace(found.snapshot)) == [
        "12.5 events/s", "1,250 calls/s", "errors 4.0 %", "p50 1 µs", "p95 1 µs",
        "disagreement 0.125 (n=4)", "judge accuracy 0.750 (n=4)",
    ]  # fmt: skip
    assert [sentence.level for sentence in pace(found.snapshot)] == ["ok", "ok", "warn", *["ok"] * 4]


def test_health_when_all_is_well() -> None:
    found = reading().snapshot
    assert found is not None
    assert said(health(found)) == ["2 producers connected of 3", "last event 1 s ago", "no lag", "nothing lost"]
    assert {sentence.level for sentence in health(found)} == {"ok"}


def test_health_when_it_is_not() -> None:
    bad = reading(
        state=state(
            counters={"connected": 1, "gaps": 7}, durable=64 << 20, free_bytes=1 << 20, received_ns=NOW_NS - 10**12
        ),
        info={"producers": 3, "gaps": 1200, "position": 0, "undecodable": 2, "damaged_bytes": 9},
        losses=[{"host": "node\x1b1", "pid": 5, "events": 1200}],
    )
    assert bad.snapshot is not None
    assert [(sentence.text, sentence.level) for sentence in health(bad.snapshot)] == [
        ("1 producer connected of 3", "ok"),
        ("last event 17 min ago", "warn"),
        ("answers lag 64.0 MiB", "warn"),
        ("1,200 lost, most of process 5 on node\\x1b1", "warn"),
        ("7 dropped since it started", "bad"),
        ("2 can't be read", "warn"),
        ("9 bytes damaged", "warn"),
        ("1.0 MiB of disk left", "bad"),
    ]


def test_health_of_an_empty_recording() -> None:
    found = reading(state=state(received_ns=0, free_bytes=None, counters={})).snapshot
    assert found is not None
    assert said(health(found))[:2] == ["0 producers connected of 3", "no event yet"]


def test_sentences_are_not_broken() -> None:
    sentences = [Sentence(text) for text in ("aaaa", "bb", "c" * 20, "dd")]
    assert [said(line) for line in wrapped(sentences, 9, 3)] == [["aaaa", "bb"], ["c" * 20], ["dd"]]
    assert wrapped([], 9, 3) == [[]]


# Tables.


def test_rows_are_in_the_order_in_which_they_were_answered() -> None:
    found = reading().snapshot
    assert [cells[0] for cells in rows(found, "stages")] == ["default", "ensemble_1", "judge_1", "members", "search"]
    assert rows(found, "stages")[-1] == ["search", "2", "1", "", "1", "1 µs", "1 µs", "", ""]
    assert rows(found, "stages")[1][-2:] == ["0.125", ""]
    assert rows(found, "stages")[2][-2:] == ["", "0.750"]
    assert [cells[1:] for cells in rows(found, "errors")] == [["search", "Retriever", "q9", "TimeoutError"]]
    assert rows(None, "stages") == []


def test_rows_are_sorted_with_what_has_no_value_last() -> None:
    found = reading().snapshot
    place = column("stages", "disagreement")
    for descending in (True, False):
        sorted_rows = rows(found, "stages", View("disagreement", descending))
        assert [cells[place] for cells in sorted_rows] == ["0.125", "", "", "", ""]
    by_calls = [cells[0] for cells in rows(found, "stages", View("calls", True))]
    assert by_calls == ["members", "default", "ensemble_1", "judge_1", "search"]
    assert rows(found, "stages", View("stage", True))[0][0] == "search"


def test_rows_are_filtered_by_what_is_shown() -> None:
    found = reading().snapshot
    assert [cells[0] for cells in rows(found, "stages", search="JUDGE")] == ["judge_1"]
    assert rows(found, "stages", search="[") == []
    assert {cells[3] for cells in rows(found, "slowest", search="q1")} == {"q1"}


def test_columns_are_chosen_in_turn() -> None:
    view = View()
    seen = []
    for _ in TABLES["errors"]:
        view = next_sort("errors", view)
        seen.append(view)
    assert [view.column for view in seen] == ["at", "stage", "operator", "item", "error"]
    assert [view.descending for view in seen] == [True, False, False, False, False]
    assert next_sort("errors", view) == View()
    assert sort_by("stages", View("calls", True), "calls") == View("calls", False)


# Text of others.


def test_text_of_others_is_shown_as_text() -> None:
    assert shown(HOSTILE) == "[red]\\x1b[31m\\u202e evil[/]"
    assert shown("\ud800") == "\\ud800"
    assert len(shown("x" * 1_000_000)) == 201
    assert shown(None) == "–"
    found = reading(hostile()).snapshot
    for table in TABLES:
        for cells in rows(found, table):
            assert all(cell.isprintable() and len(cell) <= 300 for cell in cells)


def test_widths_are_those_of_a_terminal() -> None:
    assert (width("abc"), width("日本"), width("e\u0301")) == (3, 4, 1)
    assert fit("日本語", 4) == "日… "
    assert fit("abc", 5) == "abc  "
    assert fit("abcdef", 3) == "ab…"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (duration(0.00123), "1.23 ms"), (duration(12), "12 s"), (duration(3e-7), "300 ns"), (duration(900), "15 min"),
        (duration(90_000), "25.0 h"), (duration(None), "–"), (duration(float("nan")), "–"), (duration(0), "0 ns"),
        (rate(0.25), "0.2"), (rate(12_345.6), "12,346"), (rate("x"), "–"), (count(1234), "1,234"), (count("7"), "–"),
        (some(0), ""), (some_share(None), ""), (percent(0.0154), "1.5 %"), (clock(1e300), "–"), (clock(None), "–"),
    ],
)  # fmt: skip
def test_numbers(written: str, text: str) -> None:
    assert written == text


# The connection.


def test_a_restart_is_told_once() -> None:
    kept = Continuity()
    assert kept.heard(state(), 0.0) == kept.heard(state(), 1.0) == ()
    assert kept.lost("no \x1b answer", 2.0) == ("connection lost, trying again: no \\x1b answer",)
    assert kept.lost("no answer", 4.0) == ()
    again = state(started_ns=NOW_NS, pid=78)
    restarted = f"the aggregator was restarted at {clock(NOW_NS / 1e9)}"
    assert kept.heard(again, 12.0) == ("connected again after 10 s", restarted)
    assert kept.heard(again, 14.0) == ()


def test_another_recording_is_told() -> None:
    kept = Continuity()
    kept.heard(state(), 0.0)
    assert kept.heard(state(recording="ffff", name="tuesday"), 1.0) == ("it records into tuesday (ffff) now",)


# Lines and data.


def test_a_block_of_known_numbers() -> None:
    at = clock(NOW_NS / 1e9)
    lines = block(reading()).splitlines()
    assert lines[:3] == [
        f"{at}  monday at tcp://host:5557, up 60 min: the last 51 events",
        "  12.5 events/s, 1,250 calls/s, errors 4.0 % (!), p50 1 µs, p95 1 µs, "
        "disagreement 0.125 (n=4), judge accuracy 0.750 (n=4)",
        "  2 producers connected of 3, last event 1 s ago, no lag, nothing lost",
    ]
    assert "    stage       calls  errors  lost  open   p50   p95  disagreement  judge" in lines
    assert "    search          2       1           1  1 µs  1 µs" in lines
    assert lines[-1] == f"    {at}  search  Retriever  q9    TimeoutError"
    assert len([line for line in lines if line.endswith(at)]) == 5


def test_a_block_without_an_answer() -> None:
    told = dataclasses.replace(reading(), trouble="no aggregator answered", news=("connection lost",))
    at = clock(NOW_NS / 1e9)
    assert block(told).splitlines() == [
        f"{at}  ! connection lost",
        f"{at}  tcp://host:5557 does not answer: no aggregator answered",
    ]


def test_a_block_of_hostile_text_is_lines_of_text() -> None:
    text = block(reading(hostile(), losses=[{"host": HOSTILE, "pid": 1}], info={"gaps": 3}))
    assert all(line.isprintable() and len(line) < 300 for line in text.split("\n"))
    assert "[red]\\x1b[31m\\u202e evil[/]" in text


def test_data_is_json() -> None:
    found = as_data(reading())
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again == found
    assert found["rates"] == {"events": 12.5, "calls": 1250.0, "over_s": 10.0}
    assert found["disagreement"]["value"] == 0.125
    assert found["aggregator"]["behind_bytes"] == 0
    assert found["stages"]["rows"][0]["stage"] == "default"


@pytest.mark.parametrize("told", [None, {}, {"info": 3}, {"info": {}, "losses": [], "window": {"events": "many"}}])
def test_an_answer_that_is_no_snapshot_is_said(told: object) -> None:
    with pytest.raises(QueryError, match="use the same embertrace on both sides"):
        snapshot_from(told, state())
