"""What happened when: counts, latency and disagreement by stretches of time."""

from __future__ import annotations

import pytest

from embertrace.analysis import LocalSource, OperatorAnalysis
from embertrace.errors import QueryError
from support.forests import Story, grown

START = 1_700_000_000.0


def analysis(story: Story) -> OperatorAnalysis:
    return OperatorAnalysis(LocalSource(story.forest()))


def told() -> Story:
    """At 0 s an ensemble that disagrees, at 20 s one that agrees and a call that raised."""
    story = Story()
    for seconds, answers in ((0, "ab"), (20, "aa")):
        panel = story.begin("panel", "ensemble", "ensemble_1", at=START + seconds)
        for place, value in enumerate(answers):
            story.end(story.begin(f"m{place}", "member", "members", panel, at=START + seconds), value)
        story.end(panel, list(answers))
    story.end(story.begin("broken", at=START + 20), error="ValueError")
    story.begin("hanging", at=START + 29)
    return story


def test_calls_are_counted_where_they_began() -> None:
    found = analysis(told()).timeline(bucket_s=10)
    assert (found["start"], found["bucket_s"], found["buckets"]) == (START, 10, 3)
    (whole,) = found["groups"]
    assert whole["calls"] == [3, 0, 5]
    assert whole["errors"] == [0, 0, 1]
    assert whole["open"] == [0, 0, 1]
    assert whole["p50_s"] == [1e-6, None, 1e-6]
    assert whole["disagreement"] == [1.0, None, 0.0]
    assert whole["ensembles"] == [1, 0, 1]


def test_groups_have_rows_of_the_same_length() -> None:
    found = analysis(told()).timeline(by="stage", bucket_s=10)
    calls = {group["name"]: group["calls"] for group in found["groups"]}
    assert calls == {"default": [0, 0, 2], "ensemble_1": [1, 0, 1], "members": [2, 0, 2]}
    assert {group["name"] for group in analysis(told()).timeline(by="type")["groups"]} == {
        "ensemble",
        "member",
        "function",
    }
    narrowed = analysis(told()).stage("members").timeline(by="operator", bucket_s=60)
    assert {group["name"]: group["calls"] for group in narrowed["groups"] if sum(group["calls"])} == {
        "m0": [2],
        "m1": [2],
    }


def test_without_a_length_a_chart_full_of_buckets_is_made() -> None:
    assert analysis(told()).timeline()["bucket_s"] == 1
    story = Story()
    for hour in range(100):
        story.end(story.begin("one", at=START + 3600 * hour), 1)
    found = analysis(story).timeline()
    assert found["bucket_s"] == 3600 and found["buckets"] <= 240
    assert sum(found["groups"][0]["calls"]) == 100


def test_a_moment_that_64_bits_do_not_hold_does_not_hide_the_others() -> None:
    story = told()
    producer, seq, event = story.events[-1]
    far = [*story.events, (producer, seq + 1, event._replace(call_id=1 << 60, timestamp=1e18))]
    found = OperatorAnalysis(LocalSource(grown(far))).timeline(by="stage")
    (ensembles,) = (group for group in found["groups"] if group["name"] == "ensemble_1")
    assert sum(ensembles["ensembles"]) == 2


def test_nothing_gives_no_buckets() -> None:
    assert dict(analysis(Story()).timeline()) == {"start": None, "bucket_s": None, "buckets": 0, "groups": []}


@pytest.mark.parametrize("options", [{"by": "hour"}, {"bucket_s": 0}, {"bucket_s": True}, {"bucket_s": 1e9}])
def test_what_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(QueryError):
        analysis(told()).timeline(**options)  # type: ignore[arg-type]


def test_so_many_buckets_that_nobody_could_look_at_them_are_refused() -> None:
    story = Story()
    for at in (START, START + 1000):
        story.end(story.begin("one", at=at), 1)
    with pytest.raises(QueryError, match="the limit is 10000"):
        analysis(story).timeline(bucket_s=0.01)
