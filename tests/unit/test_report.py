"""Reports: the same numbers as text, page and data; nothing a name says is ever more than text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from embertrace.analysis import Estimate, LocalSource, OperatorAnalysis
from embertrace.errors import MissingExtraError
from embertrace.report import as_html, as_text, comparison_report, report, sections, words
from support.forests import Story
from support.hostile import HOSTILE, LONG


def told(verdicts: str = "aaab", run: str = "r") -> OperatorAnalysis:
    """A run of twelve questions about which three members, now and then, disagree."""
    story = Story(run=run, first_id=1 if run == "r" else 1000)
    story.describe_run(run, name=run, status="finished", project="p")
    for place in range(12):
        answers = ["a", "a" if place % 3 else "b", "a" if place % 4 else ValueError]
        story.question(f"q{place}", answers, verdicts[place % len(verdicts)], "a")
    return OperatorAnalysis(LocalSource(story.forest()))


def hostile() -> OperatorAnalysis:
    story = Story(run="<i>run</i>")
    story.describe_run("<i>run</i>", name="<b>bold</b>\x00", status="finished", project=LONG)
    for place, text in enumerate((*HOSTILE, LONG[:200])):
        root = story.begin(text, item={"key": text, "truth": text})
        panel = story.begin(text, "ensemble", text, root)
        for member in (text, text[::-1], "m"):
            story.end(story.begin(member, text, text, panel), LONG if place == 0 else text)
        story.end(panel, [text])
        story.judge(text, stage=text, parent=root)
        story.end(story.begin(text, text, text, root), error=text)
        story.end(root, error=text)
        story.score(root, accuracy=0.5, usd=1.0)
    return OperatorAnalysis(LocalSource(story.forest()))


def page(analysis: OperatorAnalysis) -> ElementTree.Element:
    return ElementTree.fromstring(as_html(report(analysis)))


def estimates(data: Any) -> Iterator[float]:
    if isinstance(data, dict) and data.get("result") == "estimate" and data["value"] is not None:
        yield data["value"]
    for inner in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from estimates(inner)


def test_text_page_and_data_have_the_same_numbers() -> None:
    made = report(told())
    text, html = as_text(made), "".join(ElementTree.fromstring(as_html(made)).itertext())
    data = json.loads(json.dumps(made.to_data()))
    found = [words.share(value) for value in estimates(data)]
    assert len(found) > 20
    assert [number for number in found if number not in text or number not in html] == []
    for section in made.sections:
        assert section.title in text and section.title in html


def test_rows_have_the_same_cells_as_text_and_on_the_page() -> None:
    made = report(told())
    grids = [block for section in made.sections for block in section.blocks if hasattr(block, "columns")]
    text, html = as_text(made), "".join(ElementTree.fromstring(as_html(made)).itertext())
    cells = {words.cell(name, row.get(name)) for grid in grids for row in grid.rows[: grid.most] for name in grid.names}
    assert len(cells) > 40
    assert [cell for cell in cells if cell not in text or cell not in html] == []


def test_a_report_tells_the_whole_story() -> None:
    titles = [section.title for section in report(told()).sections]
    wanted = (
        "Runs", "Flow", "Calls", "Ensemble ensemble_1", "Judge judge_1", "Agreement of members",
        "Accuracy by number of members", "What members are worth", "Agreement as a probability in ensemble_1",
        "Latency", "Critical path", "Slowest trace", "Errors", "Missing or failed",
    )  # fmt: skip
    assert [title for title in titles if title in wanted] == list(wanted)
    assert len(set(titles)) == len(titles)


def test_a_run_of_nothing_has_a_report() -> None:
    made = report(OperatorAnalysis([]))
    assert [section.title for section in made.sections] == ["Missing or failed"]
    assert "nothing" in as_text(made)
    ElementTree.fromstring(as_html(made))


def test_hostile_text_stays_text() -> None:
    root = page(hostile())
    names = {element.tag for element in root.iter()}
    assert not names & {
        "script",
        "img",
        "a",
        "iframe",
        "object",
        "embed",
        "link",
        "form",
        "b",
        "i.run",
        "foreignObject",
    }
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not [name for name in attributes if name.startswith("on") or name in ("href", "src", "xlink:href", "action")]
    said = "".join(root.itertext())
    assert "<script>alert(1)</script>" in said
    assert not [char for char in said if ord(char) < 32 and char != "\n"] and "\u202e" not in said
    assert len(as_html(report(hostile()))) < 1_000_000, "a megabyte is cut, not shown"


def test_a_page_needs_nothing_from_elsewhere() -> None:
    html = as_html(report(told()))
    assert "http://" not in html and "https://" not in html and "url(" not in html and "@import" not in html
    assert "default-src 'none'" in html.replace("&#39;", "'")
    assert "prefers-color-scheme: dark" in html


def test_hostile_text_is_printable_in_the_terminal() -> None:
    text = as_text(report(hostile()))
    assert all(char == "\n" or char.isprintable() or char == "\u202f" for char in text)


def test_a_missing_library_is_named_in_its_section(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object, **__: object) -> None:
        raise MissingExtraError("kappa", "stats")

    part = sections.Part("Kappa", ask)  # type: ignore[arg-type]
    monkeypatch.setattr(sections, "PARTS", (part, sections.Part("Nobody asks", sections.asking("no_such_question"))))
    made = report(told())
    assert [section.title for section in made.sections] == ["Kappa"]
    assert "embertrace[stats]" in as_text(made)


def test_what_is_missing_is_said_once_at_the_top() -> None:
    story = Story(run="r")
    story.question("q", "aab", "a", "a")
    forest = story.forest()
    forest.undecodable = 3
    made = report(OperatorAnalysis(LocalSource(forest)))
    assert made.notes and made.notes[0].startswith("based on")
    assert as_html(made).count("based on") == 2  # at the top, and under what is missing


def test_a_comparison_as_a_page() -> None:
    found = told().compare(told("abab", run="other"))
    made = comparison_report(found)
    html = "".join(ElementTree.fromstring(as_html(made, kind="Comparison")).itertext())
    assert "r → other" in html
    for number in (found.before, found.after, found.difference):
        assert words.share(number) in html and words.share(number) in as_text(made)
    assert [section.title for section in made.sections][:2] == ["Difference", "What flipped"]


def test_comparing_nothing_is_a_page_too() -> None:
    made = comparison_report(OperatorAnalysis([]).compare(OperatorAnalysis([])))
    ElementTree.fromstring(as_html(made))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "–"), (math.nan, "–"), (0.0, "0 s"), (2.6e-7, "260 ns"), (0.00123, "1.23 ms"), (0.9999, "1 s"),
     (75.0, "75 s"), (4321.0, "4,321 s")],
)  # fmt: skip
def test_times_have_a_unit(seconds: float | None, said: str) -> None:
    assert words.time(seconds) == said


def test_an_estimate_on_a_line() -> None:
    value = Estimate(0.5, n=4, items=2, interval=(0.1, 0.9), of_attempted=0.4, left_out={"unlinked": 2})
    assert words.estimate(value) == (
        "0.5000  [0.1000, 0.9000]  n = 4 (2 items)  0.4000 of attempted  (left out: 2 unlinked)"
    )
