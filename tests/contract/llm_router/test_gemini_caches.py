"""Explicit caches of Gemini: created where they pay, used, deleted, and recorded exactly."""

from __future__ import annotations

import asyncio

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb

from services.llm_router.adapters.vendors import gemini_caches
from services.llm_router.billing.attempt_cost import AttemptCost, AttemptOutcome
from services.llm_router.chat.request import Tier
from tests.emulators.router_harness import RouterHarness, asking, running_router, system
from tests.emulators.scenario import Scenario
from tests.fakes.waiting import until

FLASH = "gemini-3.8-flash"
RULES = system("Follow the house rules. " * 2000)
WEATHER = pb.Tool(name="weather", description="The weather now.", parameters_json_schema='{"type": "object"}')


async def ask_often(w: RouterHarness, times: int = 6, *, cache_comes: bool = True) -> None:
    for _ in range(times):
        await w.answer(asking(RULES, "Hello?", pin_model=FLASH, tools=[WEATHER]))
        if cache_comes:
            await until(lambda: not being_made(w))


def being_made(w: RouterHarness) -> dict[str, asyncio.Task[None]]:
    return w.router._ports.providers["gemini"]._caches._creating  # type: ignore[attr-defined]


def caches_in(book: list[AttemptCost]) -> list[AttemptCost]:
    """Events that no turn asked for: every turn here says more than nothing."""
    return [cost for cost in book if not cost.usage.output_tokens]


async def test_a_busy_long_prefix_gets_an_explicit_cache_that_is_used_and_deleted():
    async with running_router() as w:
        await ask_often(w)
        last = w.gemini.requests[-1]["body"]
        made = dict(w.gemini.cached_contents)
        cached = w.ledger.costs[-1].usage.cached_input_tokens
    assert len(made) == 1
    assert last["cachedContent"] == next(iter(made))
    assert "systemInstruction" not in last
    assert "tools" not in last
    assert cached > 4096
    assert w.gemini.cached_contents == {}


async def test_cache_costs_are_recorded_as_billed():
    async with running_router() as w:
        await ask_often(w)
    (cache,) = caches_in(w.ledger.costs)
    assert (cache.outcome, cache.estimated, cache.tier) == (AttemptOutcome.OK, False, Tier.MODERATE)
    assert cache.cost_micro_usd > 0
    assert w.ledger.total_micro_usd == w.gemini.total_micro_usd


async def test_a_refused_cache_costs_nothing_and_is_not_requested_each_time():
    async with running_router() as w:
        w.gemini.caching = Scenario("status", status=503)
        await ask_often(w)
    (refused,) = caches_in(w.ledger.costs)
    assert (refused.outcome, refused.cost_micro_usd) == (AttemptOutcome.FAILED, 0)
    assert w.ledger.total_micro_usd == w.gemini.total_micro_usd


async def test_a_cache_creation_without_response_is_recorded_as_an_estimate(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gemini_caches, "CREATE_TIMEOUT_S", 0.2)
    async with running_router() as w:
        w.gemini.caching = Scenario(first_s=3600)
        await ask_often(w, times=3)
    unheard = caches_in(w.ledger.costs)
    assert unheard
    assert all(c.estimated and c.cost_micro_usd > 0 for c in unheard)


async def test_a_cache_is_reserved_in_the_journal_before_the_vendor_call():
    async with running_router() as w:
        w.gemini.caching = Scenario(first_s=30)
        await ask_often(w, times=3, cache_comes=False)
        begun = {c.event_id: c for c in w.ledger.reserved}
    (unheard,) = caches_in(w.ledger.costs)
    assert begun[unheard.event_id].cost_micro_usd == unheard.cost_micro_usd > 0


async def test_a_fallback_within_gemini_creates_no_cache():
    async with running_router() as w:
        w.gemini.play("gemini-2.5-flash", Scenario("status", status=503))
        await w.answer(asking(RULES, "Hello?", pin_tier=pb.TIER_MODERATE, tools=[WEATHER]))
        await until(lambda: not being_made(w))
    assert [r["model"] for r in w.gemini.requests] == ["gemini-2.5-flash", FLASH]
    assert w.gemini.cached_contents == {}
    assert w.ledger.total_micro_usd == w.gemini.total_micro_usd


async def test_a_cache_lost_by_the_vendor_neither_fails_the_answer_nor_opens_the_breaker():
    async with running_router() as w:
        await ask_often(w)
        w.gemini.cached_contents.clear()
        before = len(w.gemini.requests)
        events = await w.answer(asking(RULES, "Hello?", pin_model=FLASH, tools=[WEATHER]))
        asked = [r["body"].get("cachedContent") for r in w.gemini.requests[before:]]
        health = {h.alias: h.breaker for h in await w.client.get_health()}
    assert events[-1].finish.reason == pb.FINISH_REASON_STOP
    assert [bool(name) for name in asked] == [True, False]
    assert health[FLASH] == pb.BREAKER_STATE_CLOSED
