"""Each vendor's request carries the W3C trace context of the span of that call."""

from __future__ import annotations

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb

from tests.contract.llm_router.test_vendor_streams import FLASH, LOCAL, SONNET
from tests.emulators.router_harness import asking, running_router
from tests.emulators.scenario import Scenario
from tests.fakes.recorded_spans import record_spans, traceparent


def sent(w, alias: str) -> list[str]:
    """The trace contexts that the vendor of `alias` has received, in order."""
    emulator = {SONNET: w.anthropic, FLASH: w.gemini, LOCAL: w.openai}[alias]
    return [{k.lower(): v for k, v in r["headers"].items()}["traceparent"] for r in emulator.requests]


@pytest.mark.parametrize("alias", [SONNET, FLASH, LOCAL])
async def test_a_vendor_receives_the_trace_of_the_call_to_it(alias, monkeypatch):
    spans = record_spans(monkeypatch, "services.llm_router.telemetry", "hocket.chassis.rpc_spans")
    async with running_router() as w:
        await w.answer(asking("Hello?", pin_model=alias, turn_id="turn-1"))
        (chat,) = (span for span in spans.get_finished_spans() if span.name.startswith("chat "))
        assert sent(w, alias) == [traceparent(chat)]
    served = next(s for s in spans.get_finished_spans() if s.kind.name == "SERVER")
    assert chat.context.trace_id == served.context.trace_id
    assert chat.attributes["hocket.turn_id"] == "turn-1"


async def test_a_fallback_has_a_span_and_a_trace_context_of_its_own(monkeypatch):
    spans = record_spans(monkeypatch, "services.llm_router.telemetry")
    async with running_router() as w:
        w.anthropic.play(SONNET, Scenario("status", status=503))
        events = await w.answer(asking("Hello?", pin_tier=pb.TIER_COMPLEX))
        assert events[-1].HasField("finish")
        calls = {traceparent(span) for span in spans.get_finished_spans() if span.name.startswith("chat ")}
        contexts = [context for e in (SONNET, FLASH, LOCAL) for context in sent(w, e)]
    assert len(set(contexts)) == len(contexts) > 1
    assert set(contexts) <= calls
