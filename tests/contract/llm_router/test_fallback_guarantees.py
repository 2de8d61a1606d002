"""Bounds on time, attempts and cost over several requests."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb

from hocket.chassis import errors
from services.llm_router.attempts import fallback
from services.llm_router.attempts.fallback import BUDGET_MAX
from services.llm_router.attempts.timeouts import AttemptTimeouts
from services.llm_router.routing import circuit_breaker as breaker
from tests.emulators.router_harness import asking, running_router, system, text_of
from tests.emulators.scenario import Scenario
from tests.fakes.waiting import DEADLINE_S, until

pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-5' is deprecated:DeprecationWarning")

SONNET, FLASH, LITE = "claude-sonnet-5-5", "gemini-3.8-flash", "gemini-2.5-flash-lite"
OK = "Hello there, this is an answer."


async def test_a_losing_hedge_is_cancelled_at_the_first_output_of_the_winner():
    async with running_router() as w:
        for _ in range(25):
            await w.answer(asking("Hello?", pin_tier=pb.TIER_SIMPLE))
        w.gemini.always(LITE, Scenario(first_s=3600))
        # It speaks and then goes on for as long as the loser needs to be gone.
        w.anthropic.always("*", Scenario("stall", text="word " * 60, after=2))
        async with aclosing(w.client.generate(asking("Hello?", pin_tier=pb.TIER_SIMPLE), timeout_s=600)) as events:
            async for event in events:
                if event.HasField("text_delta"):
                    break
            await asyncio.wait_for(w.gemini.disconnected.wait(), DEADLINE_S)
            assert w.anthropic.open_streams == 1


async def test_retries_over_all_requests_are_bounded_in_an_outage(monkeypatch):
    # Breakers would hide whether the budget holds.
    monkeypatch.setattr(breaker, "FAILURES_TO_OPEN", 10**9)
    monkeypatch.setattr(fallback, "BACKOFF_S", 0.001)
    requests = 12
    async with running_router() as w:
        w.gemini.always(FLASH, Scenario("status", status=429, retry_info_s=0.001))
        for _ in range(requests):
            with pytest.raises(errors.Unavailable):
                await w.answer(asking("Hello?", pin_model=FLASH))
        sent = len(w.gemini.requests)
    assert sent == requests + BUDGET_MAX


async def test_two_tenants_with_the_same_prefix_have_separate_caches():
    rules = system("Follow the house rules. " * 2000)
    async with running_router() as w, w.caller("globex") as other:
        for _ in range(4):
            for client in (w.client, other):
                asked = asking(rules, "Hello?", pin_model=FLASH)
                async with aclosing(client.generate(asked)) as events:
                    assert [event async for event in events][-1].HasField("finish")
                await until(lambda: not w.router._ports.providers["gemini"]._caches._creating)  # type: ignore[attr-defined]
        made = set(w.gemini.cached_contents)
        used = [request["body"].get("cachedContent") for request in w.gemini.requests[-2:]]
    assert len(made) == 2
    assert set(used) == made


async def test_an_endless_slow_answer_is_ended_by_the_total_timeout():
    limits = AttemptTimeouts(first_token_s=20, fallback_first_token_s=20, between_tokens_s=20, total_s=1)
    async with running_router(limits) as w:
        w.anthropic.always("*", Scenario(text="word " * 4000, between_s=0.05))
        events = await w.answer(asking("Hello?", pin_model=SONNET), timeout_s=600)
    assert events[-1].finish.reason == pb.FINISH_REASON_CUT
    assert 0 < text_of(events).count("word") < 4000


async def test_only_later_attempts_have_the_fallback_first_token_timeout():
    limits = AttemptTimeouts(first_token_s=0.3, fallback_first_token_s=60, between_tokens_s=60, total_s=600)
    async with running_router(limits) as w:
        # The second is slower than a first attempt may be.
        w.anthropic.play("*", Scenario("keep_alive"), Scenario(first_s=1.2))
        events = await w.answer(asking("Hello?", pin_tier=pb.TIER_COMPLEX), timeout_s=600)
    assert [e.route.model for e in events if e.HasField("route")] == ["claude-sonnet-4-5", SONNET]
    assert text_of(events) == OK


async def test_a_silent_fallback_model_times_out_after_its_own_timeout():
    limits = AttemptTimeouts(first_token_s=60, fallback_first_token_s=2, between_tokens_s=60, total_s=600)
    async with running_router(limits) as w:
        w.anthropic.play("*", Scenario("status", status=529), Scenario("keep_alive"))
        events = await w.answer(asking("Hello?", pin_tier=pb.TIER_COMPLEX), timeout_s=600)
    assert [e.route.model for e in events if e.HasField("route")][-1] == FLASH
    assert text_of(events) == OK
