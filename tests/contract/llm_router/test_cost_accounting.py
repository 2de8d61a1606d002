"""Recorded costs equal the bills of emulated vendors with price tables of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from datetime import UTC, datetime

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb

from services.llm_router.billing.attempt_cost import AttemptCost, AttemptOutcome
from tests.emulators.router_harness import DAY, RouterHarness, asking, running_router, system, user
from tests.emulators.scenario import Scenario
from tests.fakes.waiting import DEADLINE_S

pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-5' is deprecated:DeprecationWarning")

SONNET, HAIKU, FLASH, LITE = "claude-sonnet-5-5", "claude-haiku-5-5", "gemini-3.8-flash", "gemini-2.5-flash-lite"
RULES = system("Follow the house rules, whatever you are asked. " * 200)


def booked(costs: Iterable[AttemptCost]) -> list[int]:
    return sorted(c.cost_micro_usd for c in costs)


def billed(w: RouterHarness) -> list[int]:
    return sorted(line.micro_usd for line in (*w.anthropic.bill, *w.gemini.bill))


async def test_a_prefix_used_every_ten_minutes_is_cached_for_an_hour_at_that_price():
    async with running_router() as w:
        for turn in range(4):
            await w.answer(asking(RULES, user(f"Hello for the time of number {turn}?"), pin_model=SONNET))
            w.clock.advance_calendar(600)
    cold, expired, *warm = w.ledger.costs
    assert cold.usage.cache_write_5m_tokens > 1024
    # How far apart they come is known from the second on; by then what the first wrote has ended.
    assert expired.usage.cache_write_1h_tokens > 1024
    assert all(c.usage.cached_input_tokens > 1024 for c in warm)
    assert booked(w.ledger.costs) == billed(w)


async def test_a_long_prompt_is_recorded_in_its_price_band():
    async with running_router() as w:
        for words in (10, 90_000):
            await w.answer(asking("word " * words, pin_model=HAIKU))
    short, long = w.ledger.costs
    assert (short.price_row, long.price_row) == ("claude-haiku-5-5@2026-10-07<=100000", "claude-haiku-5-5@2026-10-07")
    assert long.usage.prompt_tokens > 100_000
    assert booked(w.ledger.costs) == billed(w)


async def test_a_price_change_at_midnight_is_recorded_as_billed():
    new_year = datetime(2027, 1, 1, tzinfo=UTC)
    async with running_router() as w:
        await w.answer(asking("Hello?" * 300, pin_model=FLASH))
        w.clock.advance_calendar((new_year - DAY).total_seconds())
        await w.answer(asking("Hello again?" * 300, pin_model=FLASH))
    assert [c.price_row for c in w.ledger.costs] == ["gemini-3.8-flash@2026-09-01", "gemini-3.8-flash@2027-01-01"]
    assert booked(w.ledger.costs) == billed(w)


async def test_a_losing_hedge_with_thinking_is_recorded_as_billed():
    async with running_router() as w:
        for _ in range(25):
            await w.answer(asking("Hello?", pin_tier=pb.TIER_COMPLEX))
        # It has read the prompt and says so, and then nothing.
        w.anthropic.play("*", Scenario("stall", after=0, text="Never said."))
        events = await w.answer(asking("Hello?", pin_tier=pb.TIER_COMPLEX))
        await asyncio.wait_for(w.anthropic.disconnected.wait(), DEADLINE_S)
    loser, winner = sorted(w.ledger.costs[-2:], key=lambda c: c.outcome is AttemptOutcome.OK)
    assert loser.outcome is AttemptOutcome.CANCELLED
    assert loser.cost_micro_usd > 0
    assert not loser.estimated
    assert winner.model != loser.model
    assert set(events[-1].finish.cost_event_ids) == {loser.event_id, winner.event_id}
    assert booked(w.ledger.costs) == billed(w)


async def test_all_costs_of_one_conversation_add_up():
    """A cache filled ahead, a speculation that is left, an answer that is kept, one that broke and its stand-in."""
    async with running_router() as w:
        await w.client.prewarm(asking(RULES, pin_model=SONNET, conversation_id="c"))
        w.anthropic.play("*", Scenario(text="A long answer. " * 30, between_s=0.05))
        left = asking(RULES, user("Hello?"), pin_model=SONNET, conversation_id="c", speculative=True)
        async with aclosing(w.client.generate(left, timeout_s=20)) as events:
            async for event in events:
                if event.HasField("text_delta"):
                    break
        await w.answer(asking(RULES, user("Hello?"), pin_tier=pb.TIER_COMPLEX, conversation_id="c"))
        w.anthropic.play("*", Scenario("cut", after=0))
        await w.answer(asking(RULES, user("Hello?"), pin_tier=pb.TIER_COMPLEX, conversation_id="d"))
    assert [c.outcome for c in w.ledger.costs].count(AttemptOutcome.OK) == 3
    assert [c.speculative for c in w.ledger.costs].count(True) == 1
    assert len({c.event_id for c in w.ledger.costs}) == len(w.ledger.costs) == len(billed(w)) == 5
    assert booked(w.ledger.costs) == billed(w)
