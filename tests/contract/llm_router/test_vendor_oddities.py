"""Undocumented behaviour of vendors and models affects one answer only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb

from hocket.chassis import errors, identity
from services.llm_router.adapters.vendors import anthropic_provider
from services.llm_router.attempts import output_buffer as backlog
from services.llm_router.attempts.answer_events import Finished
from services.llm_router.attempts.timeouts import AttemptTimeouts
from services.llm_router.billing import usage_meter as meter
from services.llm_router.billing.attempt_cost import AttemptOutcome
from services.llm_router.chat.events import AnswerEnd, EndReason, TextDelta, ToolCallEvent, Usage, UsageUpdate
from services.llm_router.chat.request import ToolCall
from services.llm_router.routing.circuit_breaker import FAILURES_TO_OPEN
from services.llm_router.wire.requests import request_from_proto
from tests.emulators.router_harness import RouterHarness, asking, running_router, text_of, user
from tests.emulators.scenario import Scenario
from tests.fakes.waiting import DEADLINE_S, until

SONNET, FLASH = "claude-sonnet-5-5", "gemini-3.8-flash"
WEATHER = pb.Tool(name="weather", description="The weather now.", parameters_json_schema='{"type": "object"}')


def sse(*events: dict) -> bytes:
    return b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events)


def claude(*middle: dict, reason: str, output: int) -> bytes:
    message = {"id": "m", "type": "message", "role": "assistant", "model": SONNET, "content": [], "stop_reason": None}
    return sse(
        {"type": "message_start", "message": {**message, "usage": {"input_tokens": 100, "output_tokens": 1}}},
        *middle,
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": output}},
        {"type": "message_stop"},
    )


HALF_A_CALL = (
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "tool_use", "id": "t", "name": "weather", "input": {}},
    },
    {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"city": "Ber'}},
    {"type": "content_block_stop", "index": 0},
)


async def breakers(w: RouterHarness) -> dict[str, int]:
    return {h.alias: h.consecutive_failures for h in await w.client.get_health() if h.consecutive_failures}


async def test_a_tool_call_cut_by_the_length_limit_ends_with_reason_length():
    async with running_router() as w:
        w.anthropic.always("*", Scenario(body=claude(*HALF_A_CALL, reason="max_tokens", output=1024)))
        events = await w.answer(asking("Hello?", pin_model=SONNET, tools=[WEATHER]))
        assert await breakers(w) == {}
    (cost,) = w.ledger.costs
    assert events[-1].finish.reason == pb.FINISH_REASON_LENGTH
    assert not any(e.HasField("tool_call") for e in events)
    assert (cost.usage.output_tokens, cost.estimated) == (1024, False)
    assert len(w.anthropic.requests) == 1


async def test_a_tool_call_with_invalid_json_is_not_forwarded():
    async with running_router() as w:
        w.anthropic.always("*", Scenario(body=claude(*HALF_A_CALL, reason="tool_use", output=9)))
        with pytest.raises(errors.Unavailable) as caught:
            await w.answer(asking("Hello?", pin_model=SONNET, tools=[WEATHER]))
    assert caught.value.metadata == {SONNET: "cut"}
    assert [(c.usage.output_tokens, c.estimated) for c in w.ledger.costs] == [(9, False)]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'"x"', b"null", b'{"input_tokens": -5}'])
async def test_an_invalid_token_count_falls_back_to_an_estimate(body: bytes):
    async with running_router() as w:
        w.anthropic.count_body = body
        w.anthropic.always("*", Scenario("cut", after=3))
        events = await w.answer(asking("Hello?", pin_model=SONNET))
    (cost,) = w.ledger.costs
    assert events[-1].finish.reason == pb.FINISH_REASON_CUT
    assert cost.estimated
    assert cost.usage.output_tokens > 0


async def test_a_token_count_does_not_delay_the_next_attempt(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(anthropic_provider, "COUNT_TIMEOUT_S", DEADLINE_S)
    async with running_router() as w:
        count_gate = w.anthropic.count_gate = asyncio.Event()
        thought = Scenario("error_event", thinking="Hm.", after=0)
        w.anthropic.always("*", thought)
        async with aclosing(w.client.generate(asking("Hello?", pin_tier=pb.TIER_COMPLEX), timeout_s=600)) as events:
            async for event in events:
                if event.HasField("text_delta"):
                    count_gate.set()
                last = event
        assert count_gate.is_set()
    # And what was counted meanwhile is in the sum.
    assert w.ledger.total_micro_usd == w.billed_micro_usd == last.finish.cost_micro_usd


async def test_output_with_prompt_only_usage_is_recorded():
    def chunk(text: str) -> bytes:
        row = {
            "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}}],
            "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
        }
        return b"data: " + json.dumps(row).encode() + b"\n\n"

    async with running_router() as w:
        w.gemini.always(FLASH, Scenario(body=chunk("word " * 90) * 2))
        events = await w.answer(asking("Hello?", pin_model=FLASH))
    (cost,) = w.ledger.costs
    assert events[-1].finish.reason == pb.FINISH_REASON_CUT
    assert cost.estimated
    assert cost.usage.input_tokens == 9
    assert cost.usage.output_tokens >= 200


async def test_an_answer_cut_by_the_deadline_still_ends_with_finished():
    async with running_router() as w:
        w.anthropic.always("*", Scenario(text="word " * 400, between_s=0.05))
        events = await w.answer(asking("Hello?", pin_model=SONNET), timeout_s=4)
        assert await breakers(w) == {}
    (cost,) = w.ledger.costs
    assert text_of(events).startswith("word word")
    assert events[-1].finish.reason == pb.FINISH_REASON_CUT
    assert list(events[-1].finish.cost_event_ids) == [cost.event_id]
    assert cost.usage.output_tokens > 0


class Scripted:
    """A provider that yields what it is given, and counts how much of it was taken."""

    def __init__(self, *events: object, forever: object = None, failure: Exception | None = None) -> None:
        self._events = events
        self._forever = forever
        self._failure = failure
        self.taken = 0
        self.ended = asyncio.Event()

    async def stream(self, request: object, candidate: object) -> AsyncGenerator[object, None]:
        try:
            for event in self._events:
                self.taken += 1
                yield event
            while self._forever is not None:
                self.taken += 1
                yield self._forever
                await asyncio.sleep(0)
            if self._failure is not None:
                raise self._failure
        finally:
            self.ended.set()

    async def count_tokens(self, candidate: object, text: str) -> int | None:
        return None

    async def close(self) -> None:
        return


async def test_reading_from_the_vendor_pauses_while_the_buffer_is_full(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backlog, "BUFFERED_BYTES_MAX", 20_000)
    async with running_router(AttemptTimeouts(total_s=1)) as w:
        flood = w.router._ports.providers["anthropic"] = Scripted(
            UsageUpdate(Usage(9)), forever=TextDelta("x" * 10_000)
        )
        # Without gRPC between, which holds megabytes of its own.
        identity.bind(identity.Identity("acme", "standard", "test"))
        request = request_from_proto(asking("Hello?", pin_model=SONNET), w.model_health.table)
        async with aclosing(w.router.generate(request)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
            # Nobody reads on, and the attempt ends when its time is over all the same.
            await asyncio.wait_for(flood.ended.wait(), DEADLINE_S)
            rest = [event async for event in events]
        identity.bind(None)
        assert await breakers(w) == {}
    assert flood.taken <= 6
    assert isinstance(rest[-1], Finished)
    assert rest[-1].reason is EndReason.CUT
    assert [c.outcome for c in w.ledger.costs] == [AttemptOutcome.FAILED]


async def test_endless_thinking_is_cut(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(meter, "UNREPORTED_CHARACTERS_MAX", 10_000)
    async with running_router() as w:
        w.anthropic.always("*", Scenario(thinking="Hm. " * 5000))
        with pytest.raises(errors.Unavailable) as caught:
            await w.answer(asking("Hello?", pin_model=SONNET))
    assert caught.value.metadata == {SONNET: "cut"}
    assert w.ledger.costs[0].estimated


@pytest.mark.parametrize("usage", [Usage(9, output_tokens=-4), Usage(9, output_tokens=10**25)])
async def test_negative_and_implausibly_large_counts_are_ignored(usage: Usage):
    async with running_router() as w:
        told = Scripted(TextDelta("word " * 90), UsageUpdate(usage), AnswerEnd(EndReason.STOP))
        w.router._ports.providers["anthropic"] = told
        events = await w.answer(asking("Hello?", pin_model=SONNET))
    (cost,) = w.ledger.costs
    assert events[-1].finish.reason == pb.FINISH_REASON_STOP
    assert cost.estimated
    assert 100 <= cost.usage.output_tokens <= 150


async def test_an_internal_fault_is_not_retried_and_does_not_count_against_the_vendor():
    async with running_router() as w:
        w.router._ports.providers["anthropic"] = Scripted(failure=RuntimeError("ours"))
        with pytest.raises(errors.Unavailable) as caught:
            await w.answer(asking("Hello?", pin_model=SONNET))
        assert await breakers(w) == {}
    assert caught.value.metadata == {SONNET: "internal"}
    assert len(w.ledger.costs) == 1


async def test_an_unrecordable_attempt_does_not_block_the_others(monkeypatch: pytest.MonkeyPatch):
    async with running_router() as w:
        whole = w.ledger.record

        def book(cost: object) -> None:
            if cost.outcome is AttemptOutcome.FAILED:  # type: ignore[attr-defined]
                raise TypeError("as scripted")
            whole(cost)

        monkeypatch.setattr(w.ledger, "record", book)
        w.gemini.play("*", Scenario("status", status=503))
        events = await w.answer(asking("Hello?", pin_tier=pb.TIER_SIMPLE))
    assert events[-1].finish.reason == pb.FINISH_REASON_STOP
    assert [c.outcome for c in w.ledger.costs] == [AttemptOutcome.OK]


async def test_a_request_that_every_vendor_calls_invalid_is_not_retryable():
    async with running_router() as w:
        w.anthropic.always("*", Scenario("status", status=400))
        with pytest.raises(errors.FailedPrecondition, match="change the request"):
            await w.answer(asking("Hello?", pin_model=SONNET))
        assert await breakers(w) == {}
    assert len(w.anthropic.requests) == 1


async def test_an_unknown_model_is_called_once_and_reported():
    async with running_router() as w:
        w.anthropic.always("*", Scenario("status", status=404))
        with pytest.raises(errors.Unavailable) as caught:
            await w.answer(asking("Hello?", pin_model=SONNET))
        assert set(await breakers(w)) == {SONNET}
    assert caught.value.metadata == {SONNET: "missing"}
    assert len(w.anthropic.requests) == 1


async def test_a_silent_vendor_opens_its_breaker_also_under_short_deadlines():
    async with running_router() as w:
        w.anthropic.always("*", Scenario(connect_s=30))
        for _ in range(FAILURES_TO_OPEN):
            with pytest.raises(errors.MeshError):
                await w.answer(asking("Hello?", pin_model=SONNET), timeout_s=1.3)
        assert SONNET in await breakers(w)


async def test_tool_calls_are_sent_back_unchanged():
    odd = [
        ToolCallEvent(ToolCall("same", "default_api.weather", "{}")),
        ToolCallEvent(ToolCall("same", "weather", '{"a": 1}')),
    ]
    async with running_router() as w:
        told = Scripted(*odd, UsageUpdate(Usage(9, output_tokens=9)), AnswerEnd(EndReason.TOOL_CALLS))
        kept, w.router._ports.providers["anthropic"] = w.router._ports.providers["anthropic"], told
        events = await w.answer(asking("Hello?", pin_model=SONNET, tools=[WEATHER]))
        made = [e.tool_call for e in events if e.HasField("tool_call")]
        w.router._ports.providers["anthropic"] = kept
        results = [pb.ToolResult(call_id=c.call_id, name=c.name, content="Sunny.") for c in made]
        turns = [
            user("Hello?"),
            pb.Message(role=pb.ROLE_ASSISTANT, parts=[pb.Part(tool_call=c) for c in made]),
            pb.Message(role=pb.ROLE_TOOL, parts=[pb.Part(tool_result=r) for r in results]),
        ]
        assert text_of(await w.answer(asking(*turns, pin_model=SONNET, tools=[WEATHER])))
    assert len({c.call_id for c in made}) == 2
    assert {c.name for c in made} == {"weather"}


async def test_all_thoughts_between_texts_are_sent_back():
    def think(index: int, thought: str) -> tuple[dict, ...]:
        start = {"type": "thinking", "thinking": "", "signature": ""}
        return (
            {"type": "content_block_start", "index": index, "content_block": start},
            {"type": "content_block_delta", "index": index, "delta": {"type": "thinking_delta", "thinking": thought}},
            {"type": "content_block_delta", "index": index, "delta": {"type": "signature_delta", "signature": "s"}},
            {"type": "content_block_stop", "index": index},
        )

    def say(index: int, text: str) -> tuple[dict, ...]:
        return (
            {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}},
            {"type": "content_block_stop", "index": index},
        )

    body = claude(*think(0, "One."), *say(1, "A"), *think(2, "Two."), *say(3, "B"), reason="end_turn", output=9)
    async with running_router() as w:
        w.anthropic.always("*", Scenario(body=body))
        events = await w.answer(asking("Hello?", pin_model=SONNET))
    *_, last = [e.provider_state for e in events if e.HasField("provider_state")]
    assert last.call_id == ""
    assert [b["thinking"] for b in json.loads(last.data)["blocks"]] == ["One.", "Two."]


async def test_a_tool_call_cut_by_the_deadline_does_not_count_against_the_model():
    async with running_router() as w:
        call = Scenario(text="", calls=(("weather", {"city": "x" * 400}),), call_pieces=400, between_s=0.05)
        w.anthropic.always("*", call)
        for _ in range(2):
            with pytest.raises(errors.Unavailable) as caught:
                await w.answer(asking("Hello?", pin_model=SONNET, tools=[WEATHER]), timeout_s=3)
            assert caught.value.metadata == {SONNET: "caller_deadline"}
        assert await breakers(w) == {}


@pytest.mark.parametrize("body", [b'{"error":"overloaded"}', b'{"error":[]}', b'{"candidates":5}', b"5"])
async def test_a_malformed_gemini_response_is_an_unavailable_vendor(body: bytes):
    async with running_router() as w:
        w.gemini.always(FLASH, Scenario(body=b"data: " + body + b"\n\n"))
        with pytest.raises(errors.Unavailable) as caught:
            await w.answer(asking("Hello?", pin_model=FLASH), timeout_s=3)
    assert set(caught.value.metadata.values()) <= {"unavailable", "cut"}
    assert all(c.estimated for c in w.ledger.costs)


async def test_a_second_cancellation_leaves_no_vendor_call_running():
    async with running_router() as w:
        talker = w.router._ports.providers["anthropic"] = Scripted(UsageUpdate(Usage(9)), forever=TextDelta("word "))
        request = request_from_proto(asking("Hello?", pin_model=SONNET), w.model_health.table)

        async def listen() -> None:
            identity.bind(identity.Identity("acme", "standard", "test"))
            async with aclosing(w.router.generate(request)) as events:
                async for _ in events:
                    pass

        for turns in range(4):
            talker.ended.clear()
            listening = asyncio.create_task(listen())
            while talker.taken < 50:  # noqa: ASYNC110 - a number sets no event
                await asyncio.sleep(0)
            listening.cancel()
            for _ in range(turns):
                await asyncio.sleep(0)
            listening.cancel()
            await asyncio.wait([listening])
            await asyncio.wait_for(talker.ended.wait(), DEADLINE_S)
            talker.taken = 0
    assert len(w.ledger.costs) == 4


class ClosesInSteps(Scripted):
    """Its stream takes a moment to end, as a connection that is given back does."""

    def __init__(self, *events: object) -> None:
        super().__init__(*events, forever=TextDelta("word "))
        self.closed_whole = False

    async def stream(self, request: object, candidate: object) -> AsyncGenerator[object, None]:
        try:
            async for event in super().stream(request, candidate):
                yield event
        finally:
            await asyncio.sleep(0.05)
            self.closed_whole = True


async def test_a_cancelled_vendor_stream_is_closed_completely():
    async with running_router() as w:
        talker = w.router._ports.providers["anthropic"] = ClosesInSteps(UsageUpdate(Usage(9)))
        async with aclosing(w.client.generate(asking("Hello?", pin_model=SONNET), timeout_s=20)) as events:
            async for event in events:
                if event.HasField("text_delta"):
                    break
        await until(lambda: w.ledger.costs)
    assert talker.closed_whole
