"""Streams of servers that deviate from their vendor's API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb

from services.llm_router.billing.attempt_cost import AttemptOutcome
from tests.emulators.router_harness import asking, assistant, running_router, text_of, user
from tests.emulators.scenario import Scenario

LOCAL, FLASH = "openai-compatible", "gemini-3.8-flash"
WEATHER = pb.Tool(name="weather", description="The weather now.", parameters_json_schema='{"type": "object"}')


def openai_body(*deltas: dict[str, Any], reason: str = "stop", usage: dict[str, Any] | None = None) -> bytes:
    counted = [] if usage is None else [{"choices": [], "usage": usage}]
    return played(*(row(d) for d in deltas), row({}, reason), *counted)


def played(*chunks: dict[str, Any]) -> bytes:
    """A body of these chunks, as they are."""
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "local-model"}
    rows = [b"data: " + json.dumps({**head, **c}).encode() + b"\n\n" for c in chunks]
    return b"".join(rows) + b"data: [DONE]\n\n"


def row(delta: object = None, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def call(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    return {
        "tool_calls": [{"index": 0, "type": "function", "function": {"name": name, "arguments": arguments}, **more}]
    }


def calls_of(events: list[pb.GenerateResponse]) -> list[tuple[str, str]]:
    made = [e.tool_call for e in events if e.HasField("tool_call")]
    return [(c.name, c.arguments_json) for c in made]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((call("a", '{"x": 1}', id="1"), call("b", "{}", id="2")), id="whole, all at place 0"),
        pytest.param((call("a", '{"x": 1}'), call("b", "{}")), id="the same without ids"),
        pytest.param(
            (call("a", '{"x"', id="1"), call("a", ": 1}", id="1"), call("b", "{}", id="2")), id="repeated name"
        ),
    ],
)
async def test_tool_calls_with_equal_indexes_are_separated(pieces: tuple[dict[str, Any], ...]):
    async with running_router() as w:
        w.openai.play("*", Scenario(body=openai_body(*pieces, reason="tool_calls")))
        events = await w.answer(asking("Hello?", pin_model=LOCAL, tools=[WEATHER]))
    assert calls_of(events) == [("a", '{"x": 1}'), ("b", "{}")]


async def test_a_server_without_call_ids_works_over_several_turns():
    made: list[pb.ToolCall] = []
    async with running_router() as w:
        w.openai.always("*", Scenario(body=openai_body(call("weather", "{}"), reason="tool_calls")))
        turns = [user("Hello?")]
        for _ in range(2):
            events = await w.answer(asking(*turns, pin_model=LOCAL, tools=[WEATHER]))
            made.append(next(e.tool_call for e in events if e.HasField("tool_call")))
            result = pb.ToolResult(call_id=made[-1].call_id, name="weather", content="Sunny.")
            turns += [
                assistant(pb.Part(tool_call=made[-1])),
                pb.Message(role=pb.ROLE_TOOL, parts=[pb.Part(tool_result=result)]),
            ]
        w.openai.always("*", Scenario())
        assert text_of(await w.answer(asking(*turns, pin_model=LOCAL, tools=[WEATHER])))
    assert made[0].call_id != made[1].call_id


async def test_an_answer_without_usage_is_recorded_as_an_estimate():
    async with running_router() as w:
        w.openai.play("*", Scenario(body=openai_body({"content": "word " * 90})))
        events = await w.answer(asking("Hello?", pin_model=LOCAL))
    (cost,) = w.ledger.costs
    assert (cost.outcome, cost.estimated) == (AttemptOutcome.OK, True)
    assert cost.usage.input_tokens > 0
    assert 100 <= cost.usage.output_tokens <= 150
    assert events[-1].finish.usage.output_tokens == cost.usage.output_tokens


async def test_thinking_of_a_local_model_is_hidden_and_its_usage_recorded():
    usage = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
    thought, word = {"reasoning_content": "They greet me."}, {"content": "Hello."}
    async with running_router() as w:
        w.openai.play("*", Scenario(body=openai_body(thought, {"reasoning": "Politely."}, word, usage=usage)))
        events = await w.answer(asking("Hello?", pin_model=LOCAL))
    (cost,) = w.ledger.costs
    assert text_of(events) == "Hello."
    assert (cost.usage.input_tokens, cost.usage.output_tokens, cost.estimated) == (9, 7, False)


def gemini_body(text: str, reason: str) -> bytes:
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 7, "totalTokenCount": 16}
    said = {"content": {"parts": [{"text": text}] if text else [], "role": "model"}, "finishReason": reason}
    return b"data: " + json.dumps({"candidates": [said], "usageMetadata": usage}).encode() + b"\n\n"


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "OTHER"])
async def test_an_answer_aborted_by_gemini_is_cut(reason: str):
    async with running_router() as w:
        w.gemini.play(FLASH, Scenario(body=gemini_body("Let me look.", reason)))
        events = await w.answer(asking("Hello?", pin_model=FLASH, tools=[WEATHER]))
    (cost,) = w.ledger.costs
    assert text_of(events) == "Let me look."
    assert events[-1].finish.reason == pb.FINISH_REASON_CUT
    assert (cost.outcome, cost.usage.output_tokens, cost.estimated) == (AttemptOutcome.FAILED, 7, False)


async def test_a_call_aborted_by_gemini_before_output_falls_back():
    async with running_router() as w:
        w.gemini.play("*", Scenario(body=gemini_body("", "MALFORMED_FUNCTION_CALL")))
        events = await w.answer(asking("Hello?", pin_tier=pb.TIER_MODERATE, tools=[WEATHER]))
    asked = [e.route.model for e in events if e.HasField("route")]
    assert len(asked) == 2
    assert events[-1].finish.reason == pb.FINISH_REASON_STOP


async def test_an_unsupported_language_of_gemini_is_a_refusal():
    async with running_router() as w:
        w.gemini.always(FLASH, Scenario(body=gemini_body("Let me", "LANGUAGE")))
        events = await w.answer(asking("Hello?", pin_model=FLASH))
    assert events[-1].finish.reason == pb.FINISH_REASON_REFUSAL
