"""A prewarmed cache is read by the first answer, recorded, and stored in the session."""

from __future__ import annotations

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb

from hocket.chassis import errors
from services.llm_router.billing.attempt_cost import AttemptOutcome
from tests.emulators.router_harness import asking, running_router, system, user
from tests.emulators.scenario import Scenario

SONNET, FLASH = "claude-sonnet-5-5", "gemini-3.8-flash"
RULES = system("Follow the house rules, whatever you are asked. " * 200)


async def test_the_first_answer_reads_the_prewarmed_cache():
    async with running_router() as w:
        warmed = await w.client.prewarm(asking(RULES, pin_model=SONNET, conversation_id="c"))
        finish = (await w.answer(asking(RULES, user("Hello?"), pin_model=SONNET, conversation_id="c")))[-1].finish
    assert warmed.model == SONNET
    assert finish.usage.cached_input_tokens == warmed.cached_tokens > 1024
    assert w.ledger.total_micro_usd == w.billed_micro_usd == warmed.cost_micro_usd + finish.cost_micro_usd


async def test_estimates_use_the_prewarmed_cache():
    async with running_router() as w:
        asked = asking(RULES, user("Hello?"), conversation_id="c")
        cold = {a.model: a.estimated_cost_micro_usd for a in (await w.client.route(asked)).alternatives}
        await w.client.prewarm(asking(RULES, pin_model=SONNET, conversation_id="c"))
        warm = {a.model: a.estimated_cost_micro_usd for a in (await w.client.route(asked)).alternatives}
        asked.pin_model = SONNET
        chosen = await w.client.route(asked)
    assert warm[SONNET] < cold[SONNET]
    assert warm[FLASH] == cold[FLASH]
    assert chosen.estimated_cost_micro_usd == warm[SONNET]
    assert chosen.cached_tokens > 1024


async def test_a_refused_prewarm_costs_nothing_and_raises():
    async with running_router() as w:
        w.anthropic.always("*", Scenario("status", status=503))
        with pytest.raises(errors.Unavailable):
            await w.client.prewarm(asking(RULES, pin_model=SONNET))
    (cost,) = w.ledger.costs
    assert (cost.outcome, cost.cost_micro_usd, cost.estimated) == (AttemptOutcome.FAILED, 0, False)
    assert w.billed_micro_usd == 0


async def test_a_prewarm_that_was_never_sent_costs_nothing():
    async with running_router() as w:
        # Nobody listens there any more.
        await w.anthropic.stop()
        with pytest.raises(errors.Unavailable):
            await w.client.prewarm(asking(RULES, pin_model=SONNET))
    (cost,) = w.ledger.costs
    assert (cost.cost_micro_usd, cost.estimated) == (0, False)


async def test_a_prewarm_without_response_is_recorded_as_an_estimate_and_was_reserved():
    async with running_router() as w:
        w.anthropic.always("*", Scenario(connect_s=30))
        # The caller leaves.
        with pytest.raises(errors.DeadlineExceeded):
            await w.client.prewarm(asking(RULES, pin_model=SONNET), timeout_s=0.5)
        # The stop of the router waits for the call to end.
    (cost,) = w.ledger.costs
    (begun,) = w.ledger.reserved
    assert begun.event_id == cost.event_id
    assert cost.estimated
    assert cost.cost_micro_usd > 0


@pytest.mark.parametrize("request_", [asking(RULES, pin_model=FLASH), asking("Hello?", pin_model=SONNET)])
async def test_without_an_explicit_cache_prewarm_sends_and_records_nothing(request_: pb.GenerateRequest):
    async with running_router() as w:
        warmed = await w.client.prewarm(request_)
    assert (warmed.cached_tokens, warmed.cost_micro_usd) == (0, 0)
    assert w.anthropic.requests == w.gemini.requests == w.ledger.costs == []


async def test_an_unavailable_vendor_is_reported_by_prewarm():
    async with running_router() as w:
        w.anthropic.always("*", Scenario("status", status=529))
        with pytest.raises(errors.Unavailable) as caught:
            await w.client.prewarm(asking(RULES, pin_model=SONNET))
    assert caught.value.reason == "ALL_MODELS_FAILED"
