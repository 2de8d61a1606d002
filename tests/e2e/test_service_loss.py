"""Loss of one service during a call: the others continue, the caller hears a reply, and the service recovers."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
import pytest_asyncio

from hocket.chassis.errors import Unavailable
from local.caller.conversation import Question, ask
from local.demo import script
from local.demo.checks import contains_any
from local.demo.conversation import synthesize_questions, wait_for_greeting
from local.demo.run import call_in_room
from local.mesh import SERVICES
from tests.fakes.waiting import DEADLINE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")
QUESTION = script.KNOWLEDGE
# An answer can wait for the deadline of the lost service; after an early apology there is none.
ANSWER_S = 12
# Callers of a lost service reconnect within two seconds.
RECONNECT_S = 2.5


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def question(demo_environment) -> Question:
    return Question(QUESTION.text, (await synthesize_questions(demo_environment.demo_tenant.speech))[QUESTION.text])


@pytest_asyncio.fixture(loop_scope="session")
async def call(demo_environment, request):
    async with call_in_room(
        demo_environment.demo_tenant, f"loss-{request.node.callspec.id}-{time.monotonic_ns()}", None
    ) as joined:
        await wait_for_greeting(joined)
        yield joined


@pytest.fixture
def killed(request) -> str:
    return request.param


def losing(*nouns: str):
    return pytest.mark.parametrize("killed", nouns, indirect=True)


@losing("llm_router", "rag", "vision", "ratelimit", "speech")
async def test_call_continues_without_a_service_and_recovers(demo_environment, call, question, killed):
    others = {noun: demo_environment.mesh.pid(noun) for noun in SERVICES if noun != killed}
    lost_s = time.monotonic()
    demo_environment.mesh.kill(killed)
    try:
        without = await ask(call, question, timeout_s=ANSWER_S)
        # The apology can start before the end of the question.
        assert await call.listener.wait_for_onset(lost_s, 5) is not None
        assert {noun: demo_environment.mesh.pid(noun) for noun in others} == others
        if killed in {"vision", "ratelimit"}:
            assert fact_in(without) or fact_in(await _answered(call, question)), without
        if killed == "llm_router":
            assert "sorry" in without.answered.lower()
    finally:
        await demo_environment.mesh.restart(killed)
    await asyncio.sleep(RECONNECT_S)
    again = await _answered(call, question)
    assert fact_in(again), again


def fact_in(exchange) -> bool:
    return contains_any(exchange.answered, QUESTION.expected_phrases)


async def _answered(call, question):
    """Ask up to three times for the right answer, because the embedded recogniser makes errors."""
    for _ in range(3):
        await call.listener.wait_for_silence(1.0, 10)
        exchange = await ask(call, question, timeout_s=ANSWER_S)
        if fact_in(exchange):
            break
    return exchange


@losing("ratelimit")
async def test_costs_are_recorded_after_the_ledger_returns(demo_environment, call, question, killed):
    room = call.room.name.rpartition("__")[2]
    demo_environment.mesh.kill(killed)
    try:
        exchange = await ask(call, question, timeout_s=ANSWER_S)
        started = sum(report.raw["model_calls"] for report in exchange.reports)
        # A speculative call that is discarded at once may not have reached the router.
        counted = started - sum(report.raw["calls_discarded"] for report in exchange.reports)
    finally:
        await demo_environment.mesh.restart(killed)
    recorded = 0
    async with asyncio.timeout(DEADLINE_S):
        while recorded < counted:
            await asyncio.sleep(0.5)
            with contextlib.suppress(Unavailable):  # the channel may still be reconnecting
                costs = await demo_environment.demo_tenant.ledger.get_costs(room=room)
                recorded = sum(each.events for each in costs.sums if each.tier)
    assert 0 < counted <= recorded <= started
