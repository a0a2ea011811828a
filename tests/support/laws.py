"""Stories drawn at random, and every question that can be asked of them: for laws of the analysis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from embertrace.analysis.verbs import VERBS, answer
from embertrace.wire.event import to_nanoseconds
from support.forests import Placed, Story, grown

OPTIONS: dict[str, dict[str, Any]] = {
    "item": {"key": 0},
    "failures": {"outcome": "error"},
    "unknown_items": {"targets": [[0, None, None], [1, None, "r"], [9, None, None], [2, 0, None]]},
    "cohen_kappa": {"a": "m0", "b": "m1"},
    "groups": {"by": "stage"},
    "explain": {"question": "judge_lift"},
}
OTHERWISE: list[tuple[str, dict[str, Any]]] = [
    ("outcomes", {"on": "majority"}),
    ("explain", {"question": "majority_accuracy", "options": {"ties": "abstain"}}),
    ("explain", {"question": "accuracy_distribution"}),
    *(("explain", {"question": question}) for question in ("critical_path", "flips", "slowest", "unlinked")),
    ("failures", {"outcome": "open"}),
    ("majority_accuracy", {"weights": {"m0": 0.3, "m1": 0.1, "m2": 0.2}}),
    ("majority_accuracy", {"weights": "accuracy", "ties": "first"}),
    ("agreement_calibration", {"of": "judge"}),
    ("accuracy_vs_size", {"sizes": [2, 9], "replacement": True}),
    ("answer_distribution", {"top": 1}),
    ("krippendorff_alpha", {"level": "interval"}),
    ("critical_path", {"each": True}),
    ("groups", {"by": "item"}),
    ("groups", {"by": "round"}),
    ("outcomes", {"on": "calls"}),
    ("outcomes", {"score": "accuracy"}),
    ("judge_vs_labels", {"by": "ann", "positive": "a"}),
    ("labels", {"by": "bob"}),
]
"""Options that change what is computed."""
ANSWERS = st.lists(st.sampled_from(["a", "b", "c", 1, None, ValueError]), min_size=1, max_size=5)

SHARES = st.sampled_from([1.0, 0.1])


@st.composite
def stories(draw: st.DrawFn) -> list[Placed]:
    """Two producers, with labels, scores, repeated items, retries, and calls that never end.

    All of it, or a sample, with paths that are kept for their errors; and some members that filters withheld.
    """
    told = []
    share = draw(SHARES)
    for place, producer in enumerate(("one", "two")):
        story = Story(producer, run="r", first_id=1 + 10_000 * place, share=share)
        for key in draw(st.lists(st.integers(0, 4), max_size=5)):
            truth = draw(st.sampled_from(["a", "b", None]))
            story.question(key, draw(ANSWERS), draw(st.sampled_from(["a", "b", None])), truth)
        for _ in range(draw(st.integers(0, 2))):
            call = story.ensemble(draw(ANSWERS), missing=draw(st.integers(0, 1)), withheld=draw(st.integers(0, 1)))
            story.score(call, accuracy=draw(st.floats(0, 1)), correct=draw(st.booleans()))
            story.score(call, usd=draw(st.floats(0, 1)), tokens_in=draw(st.sampled_from([1, 0.5, "many"])))
            story.begin("retried", attempt=draw(st.integers(0, 2)), call_id=5000 + place)
            if share < 1:
                kept = story.begin("pipeline", item={"key": draw(st.integers(0, 6))}, share=0.0)
                story.ensemble([ValueError, "a"], parent=kept, missing=1)
                story.score(story.end(kept, error="ValueError"), usd=5, accuracy=1)
            about = draw(st.sampled_from([{}, {"run": "r"}, {"run": "nightly"}, {"epoch": 0}]))
            by, truth = draw(st.sampled_from(["ann", "bob"])), draw(st.sampled_from(["a", "b", None]))
            story.label(draw(st.integers(0, 6)), truth, by=by, **about)
        told += story.events
    return told


@st.composite
def recordings(draw: st.DrawFn) -> list[Placed]:
    """Several runs, described or only named by their calls; roots without an item, many with equal arguments."""
    told = []
    share = draw(SHARES)
    for place, run in enumerate(draw(st.permutations(["r1", "r2", "r3", None]))):
        story = Story(f"of {run}", run=run, first_id=1 + 10_000 * place, share=share)
        if run is not None and draw(st.booleans()):
            story.describe_run(run, name=draw(st.sampled_from(["nightly", "weekly"])))
        for _ in range(draw(st.integers(0, 4))):
            at, args = 1e9 + draw(st.integers(0, 3)), [draw(st.sampled_from("xy"))]
            call_id = story._take_id()
            for attempt in draw(st.sampled_from([[0], [0, 1]])):
                root = story.begin("pipeline", args=args, at=at + attempt, attempt=attempt, call_id=call_id, follows=0)
                for _ in range(draw(st.integers(1, 2))):
                    panel = story.ensemble(draw(ANSWERS), parent=root)
                if draw(st.booleans()):
                    story.withhold("m9", draw(st.sampled_from([panel, None])), times=draw(st.integers(1, 2)))
                story.judge(draw(st.sampled_from(["a", "b"])), parent=root)
                if draw(st.booleans()):
                    story.end(root, error=draw(st.sampled_from([None, "ValueError"])))
        told += story.events
    return told


def questions(events: list[Placed]) -> list[tuple[str, dict[str, Any]]]:
    """Every verb that merges, with options: also each name of an item that was derived, under which it can be shown."""
    left: set[str] = set()
    if steps_back(events):  # then a producer's whole stream decides when its calls began: see `clocks`
        left = {"critical_path", "stragglers", "slowest"}
    asked = [(name, OPTIONS.get(name, {})) for name in VERBS.keys() - left]
    otherwise = [(name, options) for name, options in OTHERWISE if not {name, options.get("question")} & left]
    rows = answer(grown(events), {"verb": "items", "options": {"pool": True}})["rows"]
    named = [("item", {"key": row["item"]}) for row in rows if isinstance(row["item"], str)]
    return [*asked, *otherwise, *named]


def steps_back(events: list[Placed]) -> bool:
    """Whether a producer's clock was set back."""
    latest: dict[bytes, int] = {}
    for producer, _, event in sorted(events, key=lambda placed: placed[:2]):
        now = to_nanoseconds(event.timestamp)
        if now < latest.get(producer, 0):
            return True
        latest[producer] = now
    return False
