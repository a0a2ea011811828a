"""llm_call: requests to models as calls, with what they used."""

from __future__ import annotations

import asyncio

import pytest

import embertrace as et


def test_usage_is_recorded_under_gen_ai_names_and_summed_by_cost() -> None:
    with et.collect_events() as events, et.llm_call("small-1", prompt="Why?", provider="acme") as call:
        call.usage(input_tokens=12, usd=0.5)
        call.usage(output_tokens=3)
        call.response("Because.", model="small-1-0901", id="r-7")
    analysis = et.OperatorAnalysis(events)
    (traced,) = analysis.calls
    assert (traced.operator_id, traced.operator_type) == ("small-1", "llm")
    assert traced.args == ["Why?"] and traced.result == "Because."
    assert traced.scores == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "small-1",
        "gen_ai.provider.name": "acme",
        "gen_ai.response.model": "small-1-0901",
        "gen_ai.response.id": "r-7",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cost": 0.5,
        "tokens_in": 12,
        "tokens_out": 3,
        "usd": 0.5,
    }
    total = analysis.cost()[0]
    assert (total["tokens_in"], total["tokens_out"], total["usd"]) == (12, 3, 0.5)


def test_what_failed_was_paid_for_too() -> None:
    with et.collect_events() as events, pytest.raises(TimeoutError), et.llm_call("m", name="grader", stage="s") as call:
        call.usage(input_tokens=5)
        raise TimeoutError
    (traced,) = et.OperatorAnalysis(events).calls
    assert (traced.operator_id, traced.stage, traced.outcome) == ("grader", "s", "error")
    assert traced.scores["tokens_in"] == 5 and "tokens_out" not in traced.scores


def test_a_request_is_part_of_its_member_and_concurrent_ones_keep_apart() -> None:
    @et.trace(type="member")
    async def member(number: int) -> int:
        with et.llm_call(f"m{number}") as call:
            await asyncio.sleep(0)
            call.usage(input_tokens=number)
        return number

    async def scenario() -> None:
        with et.operator("panel", type="ensemble"):
            await asyncio.gather(*(member(number) for number in range(5)))

    with et.collect_events() as events:
        asyncio.run(scenario())
    analysis = et.OperatorAnalysis(events)
    requests = analysis.type("llm").calls
    assert [call.scores["tokens_in"] for call in requests] == [call.parent.args[0] for call in requests]
    (panel,) = analysis.type("ensemble").calls
    assert len(panel.children) == 5


def test_without_tracing_nothing_happens() -> None:
    with et.llm_call("m") as call:
        call.usage(input_tokens=1)
        call.response("x")
