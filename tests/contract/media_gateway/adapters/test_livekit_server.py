"""Calls to a LiveKit server that does not answer."""

from __future__ import annotations

import pytest
from livekit import api

from hocket.chassis.errors import Unavailable
from services.media_gateway.adapters.livekit_server import LiveKitServer

UNREACHABLE = "ws://127.0.0.1:1"


async def test_every_call_to_an_unreachable_livekit_is_unavailable():
    client = api.LiveKitAPI(UNREACHABLE, "key", "a-livekit-secret-of-32-bytes-or-more")
    livekit = LiveKitServer(client, agent_name="hocket")
    calls = [
        livekit.check(),
        livekit.list_rooms(),
        livekit.find_room("a"),
        livekit.list_participants("a"),
        livekit.list_dispatches("a"),
        livekit.create_dispatch("a", ""),
        livekit.delete_dispatch("a", "d"),
        livekit.delete_room("a"),
        livekit.create_room("a", metadata="", empty_timeout_s=60, participants_max=2),
    ]
    for call in calls:
        with pytest.raises(Unavailable):
            await call
    await client.aclose()
