"""Conversations in a room on a real LiveKit server, with an agent whose services are fakes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from contextlib import asynccontextmanager

import pytest
from hocket.llm_router.v1 import llm_router_pb2

from hocket.chassis.errors import Unavailable
from services.media_gateway.session import llm as session_llm
from tests.fakes import mesh_peers, room_guest
from tests.fakes.waiting import DEADLINE_S, until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # The guest's LiveKit client now and then drops a handle twice when a stream ends, and asserts in __del__.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
QUESTION = room_guest.speech_like(1.5)


@asynccontextmanager
async def joined_room(gateway):
    peers = gateway.peers
    peers.speech.__dict__.update(
        transcription_fails=False, synthesis_fails=False, synthesis_stalls=False, transcripts=[]
    )
    peers.router.answer = mesh_peers.answers_with("The office opens at nine.")
    peers.rag.fails, peers.rag.delay_s = False, 0.0
    name = f"room-{uuid.uuid4().hex[:8]}"
    async with gateway.rooms() as rooms:
        await rooms.create_room(name)
        access = await rooms.join_room(name, "ann")
        async with room_guest.Guest(access) as guest:
            await asyncio.wait_for(guest.agent_joined.wait(), DEADLINE_S)
            # Until the agent listens to the microphone that was published a moment ago.
            await asyncio.sleep(1)
            yield guest, name
        await rooms.delete_room(name)


async def test_a_spoken_question_is_answered_from_passages(gateway):
    async with joined_room(gateway) as (guest, name):
        gateway.peers.speech.transcripts = ["when does the office open"]
        ended_at_s = await guest.speak(QUESTION)
        await guest.wait_for_sound(ended_at_s)
        turn = await guest.next_turn_summary()
        # The transcript is a stream of its own, which may end after the turn summary.
        await until(lambda: ("hocket-agent", "The office opens at nine. ") in guest.transcripts)
    request = gateway.peers.router.requests[-1]
    assert (turn["heard"], turn["answered"].strip()) == ("when does the office open", "The office opens at nine.")
    assert (turn["tier"], turn["model"], turn["passages"]) == ("simple", "small", ["hours"])
    assert turn["cost_micro_usd"] == 42 + 7 + 11
    assert turn["speculative"]
    assert turn["degraded"] == []
    assert [part.WhichOneof("content") for part in request.messages[-1].parts] == ["text", "passage"]
    assert (request.room, request.turn_id) == (name, turn["turn_id"])
    assert gateway.peers.router.callers[-1].tenant_id == "acme"


async def test_a_typed_question_is_answered_by_voice(gateway):
    async with joined_room(gateway) as (guest, _):
        typed_at_s = time.time()
        await guest.type_text("when does the office open")
        await guest.wait_for_sound(typed_at_s)
        turn = await guest.next_turn_summary()
    assert (turn["input"], turn["heard"]) == ("text", "when does the office open")
    assert not turn["speculative"]


async def test_barge_in_cancels_the_answer_at_the_router(gateway):
    async def endless(request):
        yield mesh_peers.route()
        for _ in range(1000):
            yield llm_router_pb2.GenerateResponse(text_delta="and so on. ")
            await asyncio.sleep(0.05)

    async with joined_room(gateway) as (guest, _):
        gateway.peers.router.answer = endless
        gateway.peers.router.cancelled.clear()
        gateway.peers.speech.transcripts = ["tell me everything", "stop that please"]
        gateway.peers.speech.synthesizes_early = True
        try:
            ended_at_s = await guest.speak(QUESTION)
            await guest.wait_for_sound(ended_at_s)
            gateway.peers.router.answer = mesh_peers.answers_with("All right.")
            await guest.speak(QUESTION)
            await asyncio.wait_for(gateway.peers.router.cancelled.wait(), DEADLINE_S)
            first, second = await guest.next_turn_summary(), await guest.next_turn_summary()
        finally:
            gateway.peers.speech.synthesizes_early = False
    assert first["interrupted"]
    assert (first["turn_id"], llm_router_pb2.OUTCOME_BARGE_IN) in gateway.peers.router.outcomes
    assert (second["heard"], second["answered"].strip()) == ("stop that please", "All right.")


async def test_a_failed_router_call_is_answered_with_an_apology(gateway):
    async def dead(request):
        raise Unavailable("no models")
        yield

    async with joined_room(gateway) as (guest, _):
        gateway.peers.router.answer = dead
        for _ in range(4):
            typed_at_s = time.time()
            await guest.type_text("when does the office open")
            await guest.wait_for_sound(typed_at_s)
            turn = await guest.next_turn_summary()
            assert turn["answered"].strip() == session_llm.APOLOGY
            assert turn["degraded"] == ["llm_router"]
        gateway.peers.router.answer = mesh_peers.answers_with("At nine.")
        await guest.type_text("and now")
        assert (await guest.next_turn_summary())["answered"].strip() == "At nine."


async def test_a_late_router_is_answered_with_an_apology(gateway):
    async def late(request):
        yield mesh_peers.route()
        await asyncio.sleep(60)

    async with joined_room(gateway) as (guest, _):
        gateway.peers.router.answer = late
        await guest.type_text("when does the office open")
        turn = await guest.next_turn_summary()
    assert turn["answered"].strip() == session_llm.APOLOGY


@pytest.mark.parametrize("failure", ["synthesis_fails", "synthesis_stalls"])
async def test_failed_synthesis_plays_the_recorded_apology(gateway, failure):
    async with joined_room(gateway) as (guest, _):
        setattr(gateway.peers.speech, failure, True)
        for _ in range(4):
            typed_at_s = time.time()
            await guest.type_text("when does the office open")
            await guest.wait_for_sound(typed_at_s)
            assert (await guest.next_turn_summary())["degraded"] == ["speech"]
        setattr(gateway.peers.speech, failure, False)
        await guest.type_text("and now")
        assert (await guest.next_turn_summary())["degraded"] == []


async def test_failed_transcription_plays_an_apology_and_recovers(gateway):
    gateway.peers.speech.transcription_fails = True
    peers = gateway.peers
    name = f"room-{uuid.uuid4().hex[:8]}"
    async with gateway.rooms() as rooms:
        await rooms.create_room(name)
        async with room_guest.Guest(await rooms.join_room(name, "ann")) as guest:
            await asyncio.wait_for(guest.agent_joined.wait(), DEADLINE_S)
            await guest.wait_for_sound(0)
            peers.speech.transcription_fails = False
            await asyncio.sleep(3)
            peers.speech.transcripts = ["when does the office open"]
            await guest.speak(QUESTION)
            assert (await guest.next_turn_summary())["heard"] == "when does the office open"


@pytest.mark.parametrize(("dead", "delay_s"), [(True, 0.0), (False, 5.0)])
async def test_a_turn_goes_on_without_passages(gateway, dead, delay_s):
    async with joined_room(gateway) as (guest, _):
        gateway.peers.rag.fails, gateway.peers.rag.delay_s = dead, delay_s
        await guest.type_text("when does the office open")
        turn = await guest.next_turn_summary()
    assert (turn["answered"].strip(), turn["passages"], turn["degraded"]) == ("The office opens at nine.", [], ["rag"])
    assert turn["timings_ms"]["knowledge"] < 1000


async def test_the_slot_is_released_when_the_person_leaves(gateway):
    async with joined_room(gateway) as (_, name):
        assert ("acme", f"acme__{name}") in gateway.peers.limits.holders
    await gateway.until_metric("livekit_active_rooms 0.0")
    assert f"acme__{name}" in gateway.peers.limits.released


async def test_a_killed_agent_is_replaced(gateway):
    async with joined_room(gateway) as (guest, _):
        guest.agent_joined.clear()
        os.kill(gateway.newest_room_pid(), signal.SIGKILL)
        await asyncio.wait_for(guest.agent_joined.wait(), DEADLINE_S)
        await asyncio.sleep(1)
        await guest.type_text("when does the office open")
        assert (await guest.next_turn_summary())["answered"].strip() == "The office opens at nine."


async def test_a_tenant_without_a_free_slot_gets_no_agent(gateway):
    gateway.peers.limits.capacity = 0
    held, gateway.peers.limits.holders = gateway.peers.limits.holders, set()
    try:
        async with gateway.rooms() as rooms:
            await rooms.create_room("crowded")
            await rooms.join_room("crowded", "ann")
            await gateway.until_metric('hocket_media_gateway_jobs_total{outcome="limited",tenant_tier="standard"} 1.0')
            assert not (await rooms.list_rooms())[0].agent_present
            await rooms.delete_room("crowded")
    finally:
        gateway.peers.limits.capacity, gateway.peers.limits.holders = 100, held
