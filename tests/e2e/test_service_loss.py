"""Any one service dies during a call: the others carry on, the caller is not left in silence, it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
import pytest_asyncio

from hocket.chassis.errors import Unavailable
from local.caller.conversation import Question, ask
from local.demo import script
from local.demo.checks import holds
from local.demo.conversation import greeted, speak_questions
from local.demo.run import in_room
from local.mesh import SERVICES
from tests.fakes.waiting import DEADLINE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")
QUESTION = script.KNOWLEDGE
# An answer may first have to wait out the deadline of a part that is gone; none may come after an early apology.
ANSWER_S = 12
# What lost its peer looks for it again every two seconds at the latest.
FOUND_AGAIN_S = 2.5


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def question(stage) -> Question:
    return Question(QUESTION.text, (await speak_questions(stage.ours.speech))[QUESTION.text])


@pytest_asyncio.fixture(loop_scope="session")
async def call(stage, request):
    async with in_room(stage.ours, f"loss-{request.node.callspec.id}-{time.monotonic_ns()}", None) as joined:
        await greeted(joined)
        yield joined


@pytest.fixture
def killed(request) -> str:
    return request.param


def losing(*nouns: str):
    return pytest.mark.parametrize("killed", nouns, indirect=True)


@losing("llm_router", "rag", "vision", "ratelimit", "speech")
async def test_a_lost_service_leaves_neither_silence_nor_others_down_and_comes_back(stage, call, question, killed):
    others = {noun: stage.mesh.pid(noun) for noun in SERVICES if noun != killed}
    lost_s = time.monotonic()
    stage.mesh.kill(killed)
    try:
        without = await ask(call, question, timeout_s=ANSWER_S)
        # What is said about a loss may come before the question is over.
        assert await call.ear.onset_after(lost_s, 5) is not None
        assert {noun: stage.mesh.pid(noun) for noun in others} == others
        if killed in {"vision", "ratelimit"}:
            assert fact_in(without) or fact_in(await _answered(call, question)), without
        if killed == "llm_router":
            assert "sorry" in without.answered.lower()
    finally:
        await stage.mesh.restart(killed)
    await asyncio.sleep(FOUND_AGAIN_S)
    again = await _answered(call, question)
    assert fact_in(again), again


def fact_in(exchange) -> bool:
    return holds(exchange.answered, QUESTION.expect)


async def _answered(call, question):
    """Ask until the answer is the right one, three times at most: the embedded recogniser may mishear."""
    for _ in range(3):
        await call.ear.silence(1.0, 10)
        exchange = await ask(call, question, timeout_s=ANSWER_S)
        if fact_in(exchange):
            break
    return exchange


@losing("ratelimit")
async def test_costs_of_a_time_without_ledger_are_booked_once_it_is_back(stage, call, question, killed):
    room = call.room.name.rpartition("__")[2]
    stage.mesh.kill(killed)
    try:
        exchange = await ask(call, question, timeout_s=ANSWER_S)
        begun = sum(report.raw["model_calls"] for report in exchange.reports)
        # A speculation that is discarded at once may never have reached the router.
        counted = begun - sum(report.raw["calls_discarded"] for report in exchange.reports)
    finally:
        await stage.mesh.restart(killed)
    booked = 0
    async with asyncio.timeout(DEADLINE_S):
        while booked < counted:
            await asyncio.sleep(0.5)
            with contextlib.suppress(Unavailable):  # the channel may not have found the ledger again yet
                costs = await stage.ours.ledger.get_costs(room=room)
                booked = sum(each.events for each in costs.sums if each.tier)
    assert 0 < counted <= booked <= begun
