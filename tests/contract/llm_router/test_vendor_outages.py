"""Failures outside of a model do not count against it, and costs are always recorded."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb

from hocket.chassis import errors
from services.llm_router.adapters.mesh.ledger import MeshLedger
from services.llm_router.attempts.timeouts import AttemptTimeouts
from services.llm_router.billing.attempt_cost import AttemptCost, AttemptOutcome
from services.llm_router.chat.events import TextDelta, Usage, UsageUpdate
from services.llm_router.chat.request import Tier
from services.llm_router.routing.circuit_breaker import FAILURES_TO_OPEN
from tests.emulators.router_harness import asking, running_router, text_of
from tests.emulators.scenario import Scenario
from tests.fakes.waiting import until

SONNET, FLASH = "claude-sonnet-5-5", "gemini-3.8-flash"
COST = AttemptCost(
    "e", 1.0, "p", "m", Tier.SIMPLE, Usage(), 1, "row", AttemptOutcome.OK, speculative=False, room="", turn_id=""
)


async def open_breakers(w) -> set[str]:
    return {h.alias for h in await w.client.get_health() if h.breaker != pb.BREAKER_STATE_CLOSED}


async def test_short_deadlines_do_not_open_breakers():
    async with running_router() as w:
        for emulator in (w.anthropic, w.gemini, w.openai):
            emulator.always("*", Scenario(first_s=5))
        for _ in range(FAILURES_TO_OPEN + 1):
            with pytest.raises((errors.Unavailable, errors.DeadlineExceeded)):
                await w.answer(asking("Hello?"), timeout_s=0.4)
        assert await open_breakers(w) == set()


async def test_first_token_timeouts_open_the_breaker():
    limits = AttemptTimeouts(first_token_s=0.05, fallback_first_token_s=0.05, between_tokens_s=60, total_s=600)
    async with running_router(limits) as w:
        w.anthropic.always("*", Scenario(first_s=5))
        for _ in range(FAILURES_TO_OPEN):
            with pytest.raises(errors.Unavailable):
                await w.answer(asking("Hello?", pin_model=SONNET))
        assert await open_breakers(w) == {SONNET}


async def test_a_long_retry_after_stops_all_requests_to_the_vendor():
    async with running_router() as w:
        w.gemini.play(FLASH, Scenario("status", status=429, retry_info_s=30))
        first = await w.answer(asking("Hello?", pin_tier=pb.TIER_COMPLEX, turn_id="t"))
        with pytest.raises(errors.Unavailable):
            await w.answer(asking("Hello?", pin_model=FLASH), timeout_s=20)
        assert text_of(first)
        assert await open_breakers(w) == {FLASH}
        assert len(w.gemini.requests) == 1


@pytest.mark.parametrize("megabytes", [10, 17])
async def test_too_much_text_is_invalid_argument_in_the_client_too(megabytes: int):
    async with running_router() as w:
        with pytest.raises(errors.InvalidArgument) as caught:
            await w.answer(asking("word " * (megabytes * 200_000)))
    assert caught.value.reason == "TOO_LARGE"
    assert caught.value.fields


class SlowToClose:
    """A vendor stream that closes slowly, also after repeated cancellations."""

    async def stream(self, request, candidate):
        try:
            yield UsageUpdate(Usage(input_tokens=1000))
            yield TextDelta("Well")
            await asyncio.sleep(30)
        finally:
            until = time.monotonic() + 0.3
            while time.monotonic() < until:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.01)

    async def count_tokens(self, candidate, text):
        return 1

    async def close(self):
        return


async def test_a_cost_is_recorded_when_the_deadline_passes_during_cancellation():
    async with running_router() as w:
        w.router._ports.providers["anthropic"] = SlowToClose()
        with pytest.raises((errors.DeadlineExceeded, errors.Unavailable)):
            await w.answer(asking("Hello?", pin_model=SONNET), timeout_s=0.5)
        await until(lambda: w.ledger.costs)
    assert [(c.outcome, c.usage.input_tokens) for c in w.ledger.costs] == [(AttemptOutcome.FAILED, 1000)]


async def test_an_outcome_belongs_to_the_answering_model(tmp_path):
    path = tmp_path / "outcomes.jsonl"
    async with running_router(outcomes_file=path) as w:
        w.gemini.always("*", Scenario("status", status=503))
        events = await w.answer(asking("Hello?", pin_tier=pb.TIER_SIMPLE, turn_id="t"))
        await w.client.record_outcome("t", pb.OUTCOME_THUMBS_UP)
    assert events[-1].finish.served_model == "claude-haiku-5-5"
    assert '"model":"claude-haiku-5-5"' in path.read_text()


class FullDisk:
    def add(self, origin, event):
        raise OSError("no space left on device")

    def settle(self, event_ids):
        raise OSError("no space left on device")


class Recorder:
    def __init__(self) -> None:
        self.events: list[str] = []

    def record(self, event) -> None:
        self.events.append(event.event_id)


async def test_a_full_disk_loses_neither_answer_nor_cost(monkeypatch):
    recorder = Recorder()
    book = MeshLedger(recorder, FullDisk())
    async with AsyncExitStack() as stack:
        w = await stack.enter_async_context(running_router())
        monkeypatch.setattr(w.ledger, "reserve", book.reserve)
        monkeypatch.setattr(w.ledger, "record", book.record)
        events = await w.answer(asking("Hello?", pin_model=SONNET))
    assert events[-1].finish.reason == pb.FINISH_REASON_STOP
    assert recorder.events == list(events[-1].finish.cost_event_ids)
