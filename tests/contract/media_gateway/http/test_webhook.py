"""LiveKit's webhooks, over a real HTTP socket."""

from __future__ import annotations

import base64
import hashlib
import json

import aiohttp
import pytest
from livekit import api

from tests.fakes.livekit_rooms import MemoryRooms

LIVEKIT_KEY, LIVEKIT_SECRET = "key", "a-livekit-secret-of-32-bytes-or-more"


async def webhook(served, event, room, event_id, *, secret=LIVEKIT_SECRET, tamper=False):
    body = json.dumps({"event": event, "id": event_id, "room": {"name": room}})
    token = api.AccessToken(LIVEKIT_KEY, secret)
    token = token.with_sha256(base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()).to_jwt()  # type: ignore[assignment]
    headers = {"Authorization": token, "Content-Type": "application/webhook+json"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(served.url + "/v1/livekit/webhook", data=body + (" " if tamper else ""), headers=headers) as response,
    ):
        return response.status, await response.json()


async def room_without_agent(served) -> MemoryRooms:
    async with served.client() as rooms:
        await rooms.create_room("demo")
    served.livekit.add_participant("acme__demo", "ann")
    return served.livekit


async def test_a_webhook_dispatches_a_missing_agent(served):
    livekit = await room_without_agent(served)
    assert await webhook(served, "participant_joined", "acme__demo", "EV_1") == (200, {"duplicate": False})
    assert livekit.dispatch_count == 1


async def test_a_repeated_webhook_is_ignored(served):
    livekit = await room_without_agent(served)
    await webhook(served, "participant_joined", "acme__demo", "EV_1")
    livekit.clock.now_s += 60
    assert await webhook(served, "participant_joined", "acme__demo", "EV_1") == (200, {"duplicate": True})
    assert livekit.dispatch_count == 1


async def test_a_failed_webhook_is_handled_on_retry(served):
    livekit = await room_without_agent(served)
    livekit.unavailable = True
    assert (await webhook(served, "participant_joined", "acme__demo", "EV_1"))[0] == 503
    livekit.unavailable = False
    assert (await webhook(served, "participant_joined", "acme__demo", "EV_1"))[1] == {"duplicate": False}
    assert livekit.dispatch_count == 1


@pytest.mark.parametrize("forgery", [{"secret": "another-secret-of-at-least-32-bytes!"}, {"tamper": True}])
async def test_a_forged_webhook_is_rejected(served, forgery):
    livekit = await room_without_agent(served)
    assert (await webhook(served, "participant_joined", "acme__demo", "EV_1", **forgery))[0] == 401
    assert livekit.dispatch_count == 0


async def test_foreign_rooms_and_empty_rooms_get_no_agent(served):
    livekit = await room_without_agent(served)
    livekit.add_participant("room-of-another-application", "eve")
    await webhook(served, "participant_joined", "room-of-another-application", "EV_1")
    livekit.remove_participant("acme__demo", "ann")
    await webhook(served, "participant_left", "acme__demo", "EV_2")
    await webhook(served, "room_finished", "acme__demo", "EV_3")
    assert livekit.dispatch_count == 0
