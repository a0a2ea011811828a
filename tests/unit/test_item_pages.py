"""Pages of items: the rows that the question has, whatever was recorded and is filtered, or no page at all."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from aggregator import browse
from aggregator.browse import COLUMNS, ONLY, says
from embertrace.analysis.forest import Forest
from embertrace.analysis.item_pages import page_of_items, rows_that_may_say
from embertrace.analysis.results import Rows
from embertrace.analysis.verbs import ask
from embertrace.errors import QueryError
from embertrace.event import call_hex
from support.forests import Story

FILTERS: list[list[list[Any]]] = [
    [],
    [["run", "r0"]],
    [["run", "r1"], ["type", "judge"]],
    [["operator", "m1"]],
    [["stage", "ensemble_1"]],
    [["type", "member"]],
    [["item", "k1"]],
    [["item", 3]],
    [["run", "nobody"]],
]


def rows_of(forest: Forest, filters: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    return list(ask(forest, {"verb": "items", "filters": filters, "options": {"pool": True}}))  # type: ignore[call-overload]


def walked(forest: Forest, filters: Sequence[Sequence[Any]], count: int) -> list[dict[str, Any]] | None:
    """All rows, page by page; None where there is no page."""
    found: list[dict[str, Any]] = []
    while True:
        page = page_of_items(forest, filters, {"pool": True}, len(found), count)
        if page is None:
            return None
        found += page.rows
        if len(found) >= page.total:
            assert len(found) == page.total
            return found


def told(seed: int) -> Story:
    """Questions in two runs: ensembles with failures, judges, scores, labels, epochs, items within items."""
    dice = random.Random(seed)
    story = Story("told", run="r0")
    for place in range(40):
        story.run = dice.choice(["r0", "r1"])
        key: Any = dice.choice(
            [f"k{dice.randrange(12)}", dice.randrange(5), "ö" * dice.randrange(1, 20), ["list", place % 3]]
        )
        item = {"key": key, **({"epoch": dice.randrange(2)} if dice.random() < 0.3 else {}), "truth": "A"}
        root = story.begin("pipeline", item=item)
        panel = story.ensemble(dice.choices(["A", "B", ValueError], k=3), parent=root)
        if dice.random() < 0.2:
            story.call("aside", item={"key": f"inner{place}"}, parent=root)
        if dice.random() < 0.7:
            judge = story.judge("A", parent=root, links=[panel] if dice.random() < 0.3 else ())
            if dice.random() < 0.3:
                story.score(judge, usd=0.5, correct=dice.random() < 0.5)
                if place % 9 == 8:  # the sum is beyond a float
                    story.score(judge, usd=1.5e308), story.score(judge, usd=1.5e308)
        story.end(root)
    story.label("k1", "B", by="human:ann")
    return story


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_pages_have_the_rows_of_the_question(filters: list[list[Any]], count: int) -> None:
    paged = 0
    for seed in range(6):
        forest = told(seed).forest()
        found = walked(forest, filters, count)
        if found is not None:
            paged += 1
            assert found == rows_of(forest, filters)
    assert paged


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("wanted", ["K1", "a", "b", "3", "ÖÖ", "list", "ValueError", "['li", "none of it", ""])
def test_a_search_finds_what_stands_in_rows(filters: list[list[Any]], wanted: str) -> None:
    found_any = 0
    for seed in range(4):
        forest = told(seed).forest()
        some = rows_that_may_say(forest, filters, {"pool": True}, wanted)
        if some is not None:
            found_any += 1
            expected = [row for row in rows_of(forest, filters) if says(row, wanted.casefold())]
            assert [row for row in some if says(row, wanted.casefold())] == expected
    assert found_any


VIEWS: list[dict[str, Any]] = [
    *({"sort": name, "descending": descending} for name in COLUMNS for descending in (False, True)),
    *({"only": kind} for kind in ONLY),
    {"only": "wrong,whole", "sort": "cost"},
    {"agreement": "2 / 3", "sort": "epoch"},
    {"agreement": "0/3", "only": "failed"},
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_what_is_sorted_and_narrowed_down_is_so_without_the_rows(
    filters: list[list[Any]], view: dict[str, Any]
) -> None:
    by_columns = 0
    for seed in range(4):
        forest = told(seed).forest()
        given = {"verb": "items", "filters": filters, "options": {"pool": True}}
        rows = ask(forest, given)
        assert isinstance(rows, Rows)
        for page in ({"limit": 7}, {"cursor": 7, "limit": 7}, {"limit": 1000}):
            found = browse.page_of_items(forest, given, {**view, **page})
            if found is not None:
                by_columns += 1
                expected = browse.page_of_rows(rows, {**view, **page})
                for name in ("rows", "total", "next", "left_out", "notes"):
                    assert found[name] == expected[name]
    assert by_columns


def test_a_search_finds_what_was_labelled() -> None:
    story = Story()
    for place in range(3):
        story.question(f"q{place}", ["A"], verdict="A")
    story.label("q1", "Lisboa", by="ann")
    forest = story.forest()
    found = rows_that_may_say(forest, [], {}, "lisb")
    assert found is not None and [row["item"] for row in found] == ["q1"]
    story.label("", "Porto", call=call_hex(forest.trees.calls[-1].call_id))
    found = rows_that_may_say(story.forest(), [], {}, "port")
    assert found is not None and [row["item"] for row in found] == ["q2"]


def test_what_columns_cannot_tell_has_no_page() -> None:
    keyless = Story()
    keyless.judge("A", args=["asked"])
    stray = Story()
    stray.question("q", ["A"])
    stray.score(usd=0.5)
    for story in (keyless, stray):
        assert page_of_items(story.forest(), [], {}, 0, 10) is None
    assert page_of_items(told(0).forest(), [], {"pool": True, "grade": None}, 0, 10) is None


def test_runs_are_not_pooled_in_silence() -> None:
    with pytest.raises(QueryError, match="pool=True"):
        page_of_items(told(0).forest(), [], {}, 0, 10)


def test_calls_of_different_shares_are_not_taken_together() -> None:
    story = Story()
    for key, share in (("k1", 0.1), ("k2", 0.5)):
        story.end(story.begin("pipeline", item={"key": key}, share=share))
    with pytest.raises(QueryError, match="2 shares are in question"):
        page_of_items(story.forest(), [], {}, 0, 10)
    page = page_of_items(story.forest(), [["item", "k1"]], {}, 0, 10)
    assert page is not None and page.rows.notes == ("a sample of 10% of all items: 1 calls; each stands for 10",)


def test_of_nothing_there_is_an_empty_page() -> None:
    page = page_of_items(Story().forest(), [], {}, 0, 10)
    assert page is not None and (page.rows, page.total) == ([], 0)
