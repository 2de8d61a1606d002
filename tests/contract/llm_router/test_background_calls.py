"""Background calls to ratelimit outlive their request; budgets also apply to Route."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from hocket.chassis import deadline, errors
from hocket.chassis.clock import SystemClock
from services.llm_router.adapters.mesh.day_budget import DayBudget
from services.llm_router.adapters.mesh.rate_limits import MeshRateLimits
from tests.emulators.router_harness import asking, running_router
from tests.fakes.waiting import DEADLINE_S


@pytest.fixture
def out_of_time():
    """The running RPC has no time left."""
    deadline.bind(0.0)
    yield
    deadline.bind(None)


async def test_tokens_are_charged_after_the_deadline_of_the_answer(out_of_time):
    told = asyncio.Queue()

    async def check(spends, *, timeout_s):
        told.put_nowait((spends[0].cost, deadline.timeout_for(timeout_s) == timeout_s))
        return SimpleNamespace(admitted=True, standings=[SimpleNamespace(remaining=0)])

    MeshRateLimits(SimpleNamespace(check=check)).charge(70)
    async with asyncio.timeout(DEADLINE_S):
        assert await told.get() == (70, True)


async def test_spending_is_fetched_with_its_own_timeout(out_of_time):
    asked = asyncio.Queue()

    async def spent_since(_):
        asked.put_nowait(deadline.remaining())
        return 0

    DayBudget(spent_since, SystemClock()).standing("acme", 100)
    async with asyncio.timeout(DEADLINE_S):
        assert await asked.get() is None


async def test_route_is_refused_when_the_budget_is_spent():
    async with running_router(budget_micro_usd=1) as w:
        await w.client.route(asking("Hello?"))
        await w.answer(asking("Hello?"))
        for asked in (w.client.route(asking("Hello?")), w.answer(asking("Hello?"))):
            with pytest.raises(errors.ResourceExhausted) as caught:
                await asked
            assert caught.value.reason == "BUDGET_EXHAUSTED"
