"""Deviations of OpenAI-compatible servers from OpenAI's API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb

from hocket.chassis import errors
from services.llm_router.billing.attempt_cost import AttemptOutcome
from tests.contract.llm_router.test_stream_dialects import LOCAL, WEATHER, call, calls_of, openai_body, played, row
from tests.emulators.router_harness import RouterHarness, asking, running_router, text_of
from tests.emulators.scenario import Scenario

USAGE = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
TOLD: dict[str, Any] = {"choices": [], "usage": USAGE}
HALF, WHOLE = call("weather", '{"city": "Pa', id="2"), call("time", '{"x": 1}', id="1")


async def answer(w: RouterHarness, body: bytes) -> list[pb.GenerateResponse]:
    """The answer to one request, which the server is asked for once."""
    w.openai.play("*", Scenario(body=body))
    w.openai.always("*", Scenario(text="asked again"))
    events = await w.answer(asking("Hello?", pin_model=LOCAL, tools=[WEATHER]))
    assert len(w.openai.requests) == 1
    return events


async def failures(w: RouterHarness) -> int:
    return sum(h.consecutive_failures for h in await w.client.get_health())


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_a_tool_call_cut_in_its_arguments_is_dropped_and_the_finish_reason_kept(reason: str):
    async with running_router() as w:
        events = await answer(w, openai_body({"content": "Let me look."}, WHOLE, HALF, reason=reason, usage=USAGE))
        assert await failures(w) == 0
    (cost,) = w.ledger.costs
    assert calls_of(events) == [("time", '{"x": 1}')]
    ends = {"length": pb.FINISH_REASON_LENGTH, "content_filter": pb.FINISH_REASON_REFUSAL}
    assert (text_of(events), events[-1].finish.reason) == ("Let me look.", ends[reason])
    assert (cost.outcome, cost.usage.output_tokens, cost.estimated) == (AttemptOutcome.OK, 7, False)


async def test_a_tool_call_cut_before_its_arguments_is_dropped():
    async with running_router() as w:
        events = await answer(w, openai_body({"content": "Hm."}, call("weather", "", id="1"), reason="length"))
    assert (calls_of(events), events[-1].finish.reason) == ([], pb.FINISH_REASON_LENGTH)


async def test_an_answer_cut_in_its_only_tool_call_is_recorded_and_not_a_model_fault():
    async with running_router() as w:
        events = await answer(w, openai_body(HALF, reason="length", usage=USAGE))
        assert await failures(w) == 0
    (cost,) = w.ledger.costs
    assert (text_of(events), calls_of(events)) == ("", [])
    assert events[-1].finish.reason == pb.FINISH_REASON_LENGTH
    assert (cost.usage.input_tokens, cost.usage.output_tokens, cost.estimated) == (9, 7, False)


@pytest.mark.parametrize("reason", ["tool_calls", "stop"])
async def test_an_invalid_tool_call_that_the_server_reports_as_complete_is_a_failure(reason: str):
    async with running_router() as w:
        w.openai.always("*", Scenario(body=openai_body(HALF, reason=reason, usage=USAGE)))
        with pytest.raises(errors.Unavailable, match="unavailable"):
            await w.answer(asking("Hello?", pin_model=LOCAL, tools=[WEATHER]), timeout_s=3)
        assert await failures(w) > 0


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 9, "completion_tokens": None, "total_tokens": 9},
        {"prompt_tokens": 9},
        {},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": 9, "completion_tokens": 0},
        {"prompt_tokens": -5, "completion_tokens": -7},
        {"prompt_tokens": 10**25, "completion_tokens": 7},
        {"prompt_tokens": 9, "completion_tokens": 10**25},
        {"prompt_tokens": 9, "completion_tokens": 7.5},
        {"prompt_tokens": "9", "completion_tokens": "7"},
        {"prompt_tokens": True, "completion_tokens": True},
        [9, 7],
    ],
)
async def test_partial_or_invalid_usage_leaves_output_estimated(usage: Any):
    async with running_router() as w:
        events = await answer(w, openai_body({"content": "word " * 90}, usage=usage))
        assert await failures(w) == 0
    (cost,) = w.ledger.costs
    assert (text_of(events), events[-1].finish.reason) == ("word " * 90, pb.FINISH_REASON_STOP)
    assert (cost.outcome, cost.estimated) == (AttemptOutcome.OK, True)
    assert 0 < cost.usage.input_tokens < 100
    assert 100 <= cost.usage.output_tokens <= 150


async def test_the_last_of_growing_usage_counts_is_used():
    empty = {"prompt_tokens": 9, "completion_tokens": 0}
    chunks = ({**row({"role": "assistant"}), "usage": empty}, {**row({"content": "Hello"}), "usage": empty})
    async with running_router() as w:
        await answer(w, played(*chunks, {**row({}, "stop"), "usage": USAGE}))
    (cost,) = w.ledger.costs
    assert (cost.usage.input_tokens, cost.usage.output_tokens, cost.estimated) == (9, 7, False)


async def test_cached_and_thinking_counts_are_limited_by_their_total():
    parts = {"prompt_tokens_details": {"cached_tokens": 99}, "completion_tokens_details": {"reasoning_tokens": 99}}
    async with running_router() as w:
        await answer(w, openai_body({"content": "Hello"}, usage={**USAGE, **parts}))
    (cost,) = w.ledger.costs
    assert (cost.usage.prompt_tokens, cost.usage.cached_input_tokens, cost.usage.thinking_tokens) == (9, 9, 7)


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param((row({"content": "Hello"}), row(None, "stop"), TOLD), id="null at the end"),
        pytest.param((row({"content": "Hello"}), {"choices": [{"finish_reason": "stop"}]}, TOLD), id="none at the end"),
        pytest.param((row({"content": "Hello"}), row({}, "stop"), {**TOLD, "choices": None}), id="no choices"),
        pytest.param(
            (
                row({"content": [{"type": "text", "text": "He"}, {"type": "text", "text": "llo"}]}),
                row({}, "stop"),
                TOLD,
            ),
            id="text in parts",
        ),
    ],
)
async def test_text_is_parsed_in_every_dialect(chunks: tuple[dict[str, Any], ...]):
    async with running_router() as w:
        events = await answer(w, played(*chunks))
    (cost,) = w.ledger.costs
    assert (text_of(events), events[-1].finish.reason) == ("Hello", pb.FINISH_REASON_STOP)
    assert (cost.usage.output_tokens, cost.estimated) == (7, False)


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param((call("weather", {"city": "Paris"}),), id="arguments that are no text"),
        pytest.param(
            (
                {"function_call": {"name": "weather", "arguments": ""}},
                {"function_call": {"arguments": '{"city": '}},
                {"function_call": {"name": "weather", "arguments": '"Paris"}'}},
            ),
            id="the older API",
        ),
    ],
)
async def test_tool_calls_are_parsed_in_every_dialect(deltas: tuple[dict[str, Any], ...]):
    async with running_router() as w:
        events = await answer(w, openai_body(*deltas, reason="function_call", usage=USAGE))
    (made,) = [e.tool_call for e in events if e.HasField("tool_call")]
    assert (made.name, json.loads(made.arguments_json)) == ("weather", {"city": "Paris"})
    assert made.call_id
    assert events[-1].finish.reason == pb.FINISH_REASON_TOOL_CALLS


@pytest.mark.parametrize(
    ("arguments", "mended"),
    [
        ('{"x": NaN, "y": -Infinity}', '{"x": null, "y": null}'),
        ('{"x": 1e999}', '{"x": null}'),
        ("null", "{}"),
        ('{"x": "\\ud83d"}', '{"x": "\ufffd"}'),
        ('{"x": "\ud83d"}', '{"x": "\ufffd"}'),
        ('{"x": "\ud83d\ude00"}', '{"x": "😀"}'),
        ({"x": "\ud83d"}, '{"x": "\ufffd"}'),
    ],
)
async def test_invalid_json_arguments_are_parsed_leniently(arguments: Any, mended: str):
    async with running_router() as w:
        events = await answer(w, openai_body(call("weather", arguments, id=7), reason="tool_calls"))
    (made,) = [e.tool_call for e in events if e.HasField("tool_call")]
    assert (made.call_id, made.arguments_json) == ("7", mended)


async def test_a_refusal_field_is_a_refusal_and_not_output():
    async with running_router() as w:
        w.openai.always("*", Scenario(body=openai_body({"refusal": "I can't help with that."}, usage=USAGE)))
        alone = await w.answer(asking("Hello?", pin_model=LOCAL))
        body = openai_body({"content": "Well. "}, {"refusal": "I can't."}, usage=USAGE)
        w.openai.always("*", Scenario(body=body))
        after = await w.answer(asking("Hello?", pin_model=LOCAL))
        assert await failures(w) == 0
    assert (text_of(alone), alone[-1].finish.reason) == ("", pb.FINISH_REASON_REFUSAL)
    assert (text_of(after), after[-1].finish.reason) == ("Well. ", pb.FINISH_REASON_REFUSAL)
    assert [c.usage.output_tokens for c in w.ledger.costs] == [7, 7]


async def test_finish_reason_error_is_a_failure():
    async with running_router() as w:
        events = await answer(w, openai_body({"content": "Hel"}, reason="error", usage=USAGE))
        assert await failures(w) == 1
    (cost,) = w.ledger.costs
    assert (text_of(events), events[-1].finish.reason) == ("Hel", pb.FINISH_REASON_CUT)
    assert (cost.outcome, cost.usage.output_tokens) == (AttemptOutcome.FAILED, 7)
