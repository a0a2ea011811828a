"""The page in a browser: each view shows the numbers of a recorded stream, in both themes, wide and narrow; live; and
whatever a stream holds is text."""

from __future__ import annotations

import os
import pathlib
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

import embertrace as et
from embertrace.emit import Emitter, emitter_for
from embertrace.handshake import new_pair
from embertrace.keys import make_keys, read_token
from embertrace.wire.event import pack_event
from support import browser as browsers
from support.aggregators import aggregator
from support.browser import Page
from support.forests import Story
from support.ports import free_endpoint

QUESTIONS = 12
VIEWS = {
    # Of a dozen questions in each run: members agree 3/3 on four of them and 2/3 on eight.
    "overview": ["33.3%", "100.0%", "n 8", "Members disagree", "75", "1 raised, 0 lost"],
    "items": ["q0", "3/3", "2/3", "✗ wrong", "✓ right", "1–13 of 13"],
    "flow": [],
    "members": ["m0", "chooser", "panel", "12 of 13", "100.0%", "75.8% … 100.0%"],
    "time": ["Throughput", "Latency", "Disagreement"],
    "compare": ["66.7%", "100.0%", "−33.3%", "4 got worse, 0 better", "exact McNemar"],
    "runs": ["monday", "tuesday", "finished"],
    "health": ["Producers", "connected"],
    "trace?item=q1&run=tuesday": ["pipeline", "panel", "m0", "chooser", "6 calls"],
}
HOSTILE = "</script><img src=x onerror=alert(1)><b>bold</b>\u202e\u0000\x1b[31m {{7*7}} ${alert(1)} 'quoted' \"too\""


def told(run: str, first_id: int, verdict: str) -> Story:
    """A run of a dozen questions, of which a third was judged `verdict`, and one ensemble with a call that raised."""
    story = Story(run, run=run, first_id=first_id)
    story.describe_run(run, name=run, status="running", config={"verdict": verdict})
    for place in range(QUESTIONS):
        answers = ["A", "A", "B" if place % 3 else "A"]
        story.question(f"q{place}", answers, verdict="A" if place % 3 else verdict, truth="A")
    story.ensemble(["A", ValueError], item={"key": "other", "truth": "A"})
    story.describe_run(run, status="finished")
    return story


def emit(endpoint: str, *stories: Story) -> Emitter:
    """All that the stories tell is recorded and acknowledged when this returns; nothing is told twice."""
    emitter = emitter_for(endpoint)
    for story in stories:
        for _, _, event in story.events:
            emitter.put(pack_event(event))
        story.events.clear()
    assert emitter.flush(60)
    return emitter


def address(ready: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{ready['http_port']}/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from browsers.chromium()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with aggregator(tmp_path_factory.mktemp("page") / "rec") as (ready, _):
        emitter = emit(ready["endpoint"], told("monday", 1, "A"), told("tuesday", 1001, "B"))
        yield ready
        emitter.close(10)


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Opens pages that are closed afterwards, and that must have had nothing to complain of."""
    pages: list[Page] = []

    def make(ready: dict[str, Any], **options: Any) -> Page:
        pages.append(Page(browser, address(ready), **options))
        return pages[-1]

    yield make
    complaints = [text for page in pages for text in page.complaints]
    for page in pages:
        page.close()
    assert complaints == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_view_shows_what_was_recorded(opened: Any, served: dict[str, Any], theme: str, width: int) -> None:
    page = opened(served, theme=theme, width=width)
    for view, numbers in VIEWS.items():
        page.open(view)
        page.see("live")
        missing = [number for number in numbers if number not in page.text]
        assert not missing, f"{view}: {page.text}"
        assert page.tab.evaluate("document.documentElement.scrollWidth") <= width, f"{view} is too wide"
        page.shoot(f"{view.partition('?')[0]}-{theme}-{width}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_serious_is_in_the_way_of_anybody(opened: Any, served: dict[str, Any], theme: str) -> None:
    """By axe-core: names, roles, contrast."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(served, theme=theme)
    for view in (*VIEWS, "items?run=tuesday&label=%22q1%22"):
        page.open(view)
        if "label" in view:
            page.see("What was answered")
        found = axe.run(page.tab).response["violations"]
        grave = [one for one in found if one["impact"] in ("serious", "critical")]
        serious = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in grave]
        assert serious == [], f"{view} in {theme}"


def test_the_flow_is_drawn_and_a_click_filters(opened: Any, served: dict[str, Any]) -> None:
    page = opened(served)
    page.open("flow?run=tuesday")
    labels = page.tab.eval_on_selector_all(".flow text", "all => all.map(one => one.textContent)")
    assert {"panel", "chooser", "m0", "13 calls", "accuracy 0.667", "disagreement 0.333"} <= set(labels), labels
    assert page.tab.locator(".flow .edge.link").count() == 1
    page.tab.locator(".flow a", has_text="chooser").click()
    page.see("Judge right")
    assert "operator=chooser" in page.tab.url and "run=tuesday" in page.tab.url


def test_items_are_searched_sorted_and_cut_by_what_they_are(opened: Any, served: dict[str, Any]) -> None:
    page = opened(served)
    page.open("items?run=tuesday")
    page.tab.get_by_label("Search").fill("q1")
    page.see("1–3 of 3")
    assert "search=q1" in page.tab.url
    page.tab.get_by_label("Search").fill("")
    page.see("1–13 of 13")
    page.tab.get_by_label("Right or wrong").select_option("wrong")
    page.see("1–4 of 4")
    page.tab.get_by_label("Right or wrong").select_option("")
    page.tab.get_by_label("Errors").select_option("failed")
    page.see("1–1 of 1")
    page.tab.get_by_label("Right or wrong").select_option("right")
    page.see("No items that these filters leave")
    assert "correct=right" in page.tab.url and "errors=failed" in page.tab.url
    page.tab.go_back()
    page.see("1–1 of 1")
    assert page.tab.get_by_label("Right or wrong").input_value() == ""
    page.tab.get_by_label("Errors").select_option("")
    page.see("1–13 of 13")
    page.tab.get_by_label("Agreement").fill("2/3")
    page.tab.get_by_label("Agreement").press("Enter")
    page.see("1–8 of 8")
    page.tab.get_by_role("button", name="Item").click()
    page.tab.get_by_role("button", name="Item ↑").click()
    page.tab.wait_for_selector("th[aria-sort=descending]")
    assert page.tab.locator("tbody tr").first.inner_text().startswith("q8")
    page.tab.go_back()
    page.tab.wait_for_selector("th[aria-sort=ascending]")


def test_one_call_is_shown_with_all_that_was_kept(opened: Any, served: dict[str, Any]) -> None:
    page = opened(served)
    page.open("items?run=tuesday")
    page.tab.get_by_role("link", name="q1", exact=True).click()
    page.see("Item q1")
    page.tab.get_by_role("button", name="chooser").click()
    page.see("Arguments")
    assert page.tab.locator("pre.payload").first.inner_text() == "A"
    assert "call=" in page.tab.url
    page.tab.reload()
    page.drawn()
    page.see("Arguments")


def test_items_are_cut_by_what_ran_about_them_and_every_cut_has_an_address(opened: Any, served: dict[str, Any]) -> None:
    page = opened(served)
    page.open("items?run=tuesday")
    for title, choice, address, left in (
        ("Stage", "judge_1", "stage=judge_1", "1–12 of 12"),
        ("Operator", "chooser", "operator=chooser", "1–12 of 12"),
        ("Type", "ensemble", "type=ensemble", "No items that these filters leave"),
    ):
        page.tab.locator("label", has_text=title).locator("select").select_option(choice)
        page.see(left)
        assert address in page.tab.url
    page.tab.get_by_role("button", name="Clear").click()
    page.see("1–13 of 13")
    assert "null" not in page.text
    page.open("items?run=tuesday&correct=wrong&errors=whole&agreement=3/3&search=q")
    assert "1–4 of 4" in page.text
    assert page.tab.get_by_label("Right or wrong").input_value() == "wrong"
    assert page.tab.get_by_label("Agreement").input_value() == "3/3"


def test_an_item_is_labelled_and_the_label_is_kept(opened: Any, tmp_path: pathlib.Path) -> None:
    story = Story("unlabelled", run="monday")
    story.question("q0", ["A", "B", "A"], verdict="A")
    story.question("17", [1, 2], verdict=2)
    with aggregator(tmp_path / "rec") as (ready, _):
        emitter = emit(ready["endpoint"], story)
        page = opened(ready)
        page.open("items")
        page.tab.get_by_role("link", name="Label q0").click()
        page.tab.get_by_label("Your name").fill("ann")
        page.tab.get_by_label("Truth").fill("A")
        page.tab.get_by_role("button", name="Save").click()
        page.see("Recorded.")
        page.see("human:ann")
        page.see("✓ right")
        page.shoot("label")
        page.tab.get_by_role("button", name="Mark as wrong (chooser)").click()
        page.see("✗ wrong")
        page.tab.get_by_role("button", name="wrong: withdraw the mark (chooser)").click()
        page.see("✓ right")
        page.tab.get_by_role("button", name="Withdraw", exact=True).click()
        page.see("withdrawn")
        page.tab.keyboard.press("Escape")
        page.tab.wait_for_selector("dialog", state="detached")
        assert "label=" not in page.tab.url
        page.open("trace?item=17")
        page.tab.get_by_role("link", name="Label it").click()
        page.see("Label 17")
        page.tab.get_by_label("Truth").fill("3")
        page.tab.get_by_role("button", name="Save").click()
        page.see("Recorded.")
        page.open("trace?item=q0")
        page.tab.get_by_role("button", name="chooser").click()
        page.tab.get_by_role("button", name="Mark as right (chooser)").click()
        page.tab.wait_for_selector(".mark-as.good[aria-pressed=true]")
        page.tab.goto("about:blank")
        emitter.close(10)
    with aggregator(tmp_path / "rec") as (ready, _):
        page = opened(ready)
        page.open("items")
        assert "✓ right" in page.text
        truths = {row["item"]: row["truth"] for row in et.connect(ready["endpoint"]).items()}
        assert truths == {"q0": None, "17": 3}, "a number, as the answers are"


def test_a_label_that_cannot_be_recorded_says_why(opened: Any, tmp_path: pathlib.Path) -> None:
    story = Story("keyless")
    story.judge("A", args=["asked"])
    with aggregator(tmp_path / "rec") as (ready, _):
        emitter = emit(ready["endpoint"], story)
        page = opened(ready)
        page.open("items")
        page.tab.locator("a.pen").click()
        page.tab.get_by_label("Truth").fill("A")
        page.tab.get_by_role("button", name="Save").click()
        page.see("can't be labelled, but their calls can")
        page.tab.get_by_role("button", name="Mark as right").click()
        page.see("Recorded.")
        page.see("✓ right")
        page.complaints.clear()  # the browser's line about the answer 400
        emitter.close(10)


def test_by_keyboard_alone(opened: Any, served: dict[str, Any]) -> None:
    page = opened(served)
    page.open("overview")
    page.tab.keyboard.press("Tab")
    assert page.tab.evaluate("document.activeElement.textContent") == "Skip to content"
    page.tab.get_by_role("link", name="Items").focus()
    page.tab.keyboard.press("Enter")
    page.see("1–13 of 13")
    page.tab.get_by_role("link", name="q0", exact=True).focus()
    page.tab.keyboard.press("Enter")
    page.see("Item q0")


def test_the_theme_is_chosen_and_remembered(opened: Any, served: dict[str, Any]) -> None:
    page = opened(served)
    page.open("overview")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.tab.evaluate(background)
    page.tab.locator("#theme").click()
    page.tab.locator("#theme").click()
    assert "Dark" in page.tab.inner_text("#theme")
    dark = page.tab.evaluate(background)
    assert dark != light
    page.open("items")
    assert page.tab.evaluate(background) == dark


def test_what_arrives_is_shown_and_a_restart_survived(opened: Any, tmp_path: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec", bind=free_endpoint()) as (ready, first):
        page = opened(ready)
        page.open("overview")
        page.see("Nothing was recorded yet")
        emitter = emit(ready["endpoint"], told("monday", 1, "A"))
        page.see("n 8")
        os.kill(first.pid, signal.SIGKILL)
        first.wait(30)
        page.see("not reachable, trying again")
    with aggregator(tmp_path / "rec", bind=ready["endpoint"]) as (again, _):
        assert again["http_port"] == ready["http_port"]
        page.see("live")
        story = told("tuesday", 1000, "B")
        story.question("new", ["A", "A", "A"], verdict="A", truth="A")
        emit(ready["endpoint"], story)
        page.see("33.3%")
        page.open("runs")
        assert "tuesday" in page.text
        emitter.close(10)
    page.complaints.clear()  # a browser says of each request that could not be answered that it could not


def test_whatever_an_operator_says_is_text(opened: Any, tmp_path: pathlib.Path) -> None:
    long = HOSTILE * 8000
    story = Story("hostile", run=HOSTILE)
    story.describe_run(HOSTILE, name=HOSTILE, status=HOSTILE, config={HOSTILE: HOSTILE})
    about = {"key": HOSTILE, "truth": HOSTILE}
    root = story.begin(HOSTILE, HOSTILE, HOSTILE, item=about, tags={HOSTILE: HOSTILE}, args=[long])
    story.ensemble([HOSTILE, long[:60_000], {"answer": HOSTILE}], parent=root, stage=HOSTILE)
    story.judge(HOSTILE, parent=root)
    story.end(root, HOSTILE)
    story.question("plain", [HOSTILE], verdict=HOSTILE, truth=[HOSTILE, None])
    with aggregator(tmp_path / "rec") as (ready, _):
        emitter = emit(ready["endpoint"], story)
        page = opened(ready)
        for view in ("overview", "items", "flow", "members", "time", "compare", "runs", "health", "trace?item=plain"):
            page.open(view)
            assert page.tab.locator("main img, main b, main script").count() == 0, view
        page.open("items")
        page.tab.locator("td.key a", has_text="img").click()
        page.see("Item ")
        page.tab.locator(".fall .name button").first.click()
        page.see("Arguments")
        assert page.tab.locator("main img, main b").count() == 0
        assert "<b>bold</b>" in page.text
        page.shoot("hostile")
        emitter.close(10)


def test_a_token_is_asked_for_kept_for_the_tab_and_may_expire(opened: Any, tmp_path: pathlib.Path) -> None:
    make_keys(tmp_path / "keys", ["alice"], new_pair)
    with aggregator(tmp_path / "rec", "--keys", str(tmp_path / "keys")) as (ready, _):
        page = opened(ready)
        page.open("overview")
        page.see("asks for its token")
        page.tab.get_by_label("Token").fill("wrong")
        page.tab.get_by_role("button", name="Use it").click()
        page.see("asks for its token")
        page.tab.get_by_label("Token").fill(read_token(tmp_path / "keys"))
        page.tab.get_by_role("button", name="Use it").click()
        page.see("Nothing was recorded yet")
        page.tab.reload()
        page.see("Nothing was recorded yet")
        page.tab.evaluate("sessionStorage.setItem('embertrace-token', 'expired')")
        page.tab.reload()
        page.see("asks for its token")
        page.tab.goto("about:blank")
        page.tab.goto(f"{page.address}#token={read_token(tmp_path / 'keys')}")
        page.see("Nothing was recorded yet")
        assert "token" not in page.tab.url
        page.complaints.clear()  # of each 401


def test_what_is_not_there_is_said(opened: Any, served: dict[str, Any]) -> None:
    page = opened(served)
    for view, said in {
        "trace?trace=" + "0" * 32: "No such trace",
        "trace?call=zz": "must be a call id",
        "trace": "No trace is chosen",
        "items?run=nobody": "No items",
        "flow?stage=nowhere": "No operator was called",
        "overview?run=nobody": "Nothing was recorded yet",
        "elsewhere": "Judge right",
    }.items():
        page.open(view)
        page.see(said)
    page.complaints.clear()  # the browser's line about the answer 400


def test_producers_whose_clocks_are_wrong_are_drawn_in_the_order_of_causes(opened: Any, tmp_path: pathlib.Path) -> None:
    hour = 3600 * 10**9
    story = Story("skewed")
    root = story.begin("pipeline", item={"key": "q"})
    early = story.begin("early", "member", parent=root, at=1_700_000_000_000_000_000 - hour)
    story.end(early, "A")
    story.end(root, "A")
    other = Story("of another process", first_id=100)
    other.end(other.begin("late", parent=root, slot=1, at=1_700_000_000_000_000_000 + hour, item={"key": "r"}), "B")
    with aggregator(tmp_path / "rec") as (ready, _):
        emitters = [emit(ready["endpoint"], story)]
        page = opened(ready)
        page.open("trace?item=q")
        page.see("early")
        begins = page.tab.eval_on_selector_all(".fall rect", "all => all.map(one => parseFloat(one.getAttribute('x')))")
        assert len(begins) == 2 and all(0 <= begin < 100 for begin in begins), begins
        assert re.search(r"0 … [\d.]+ (ns|µs)", page.text), "an hour of skew is no hour of work"
        emitters.append(emit(ready["endpoint"], other))
        page.see("late")
        for view in ("overview", "time", "items", "health"):
            page.open(view)
            assert "failed:" not in page.text
        for emitter in emitters:
            emitter.close(10)


def test_a_hundred_thousand_traces_and_a_trace_of_as_many_calls(opened: Any, tmp_path: pathlib.Path) -> None:
    many = 100_000
    story = Story("many")
    for place in range(many):
        story.call("answer", "A", item={"key": f"q{place}", "truth": "A"})
    root = story.begin("fan", "ensemble", item={"key": "wide"})
    for _ in range(many):
        story.call("member", "A", parent=root, type="member")
    story.end(root)
    with aggregator(tmp_path / "rec") as (ready, _):
        emitter = emit(ready["endpoint"], story)
        page = opened(ready)
        page.tab.set_default_timeout(100_000)
        page.open("items")
        page.see(f"1–50 of {many + 1:,}")
        page.tab.get_by_label("Search").fill("q99999")
        page.see("1–1 of 1")
        page.open("trace?item=wide")
        page.see("500 calls")
        page.tab.get_by_role("button", name="Next").click()
        page.see("501–1,000 of more")
        emitter.close(10)
