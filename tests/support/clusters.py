"""A program of its own: a pipeline in a Ray cluster of its own. Prints the calls' ids, and Ray's of two results."""

from __future__ import annotations

import json

import ray

import embertrace as et
import embertrace.ray as eray


@eray.remote(num_cpus=0.1)
@et.trace(type="member", stage="members")
def ask(answer: str) -> str:
    return answer


@eray.remote(num_cpus=0.1)
@et.trace(type="judge", stage="judge_1", name="chooser")
def choose(*answers: str) -> str:
    return answers[0]


def main() -> None:
    ray.init("local", num_cpus=1, logging_level="ERROR", include_dashboard=False)
    with et.collect_events(wait=60) as events, et.item("q", truth="a"):
        members = [ask.remote("a") for _ in range(2)]
        assert ray.get(choose.remote(*members)) == "a"
    calls = et.OperatorAnalysis(events).calls
    (judge,) = [call for call in calls if call.operator_type == "judge"]
    assert {*judge.links} == {call.call_id for call in calls} - {judge.call_id} == {*map(eray.call_id_of, members)}
    print(json.dumps([[call.call_id for call in calls], [member.hex() for member in members]]))


if __name__ == "__main__":
    main()
