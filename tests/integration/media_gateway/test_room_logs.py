"""The log of a gateway and its rooms: JSON objects, those of livekit-agents too."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from tests.fakes import mesh_peers, room_guest
from tests.fakes.waiting import DEADLINE_S, until

# The guest's LiveKit client now and then drops a handle twice when a stream ends, and asserts in __del__.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


async def test_every_line_of_a_room_is_json(livekit_server, run_gateway, tmp_path):
    async with (
        mesh_peers.serving() as peers,
        run_gateway(livekit_server, tmp_path, peers, LOG_LEVEL="INFO") as gateway,
        gateway.rooms() as rooms,
    ):
        name = f"room-{uuid.uuid4().hex[:8]}"
        await rooms.create_room(name)
        async with room_guest.Guest(await rooms.join_room(name, "ann")) as guest:
            await asyncio.wait_for(guest.agent_joined.wait(), DEADLINE_S)
            await guest.type_text("when does the office open")
            await guest.next_turn_summary()
            await rooms.delete_room(name)
        await until(lambda: "leaving the room" in gateway.log.read_text())
    events = [json.loads(line) for line in gateway.log.read_text().splitlines()]
    assert {event["service"] for event in events} == {"hocket-media-gateway"}
    (turn,) = [event for event in events if event["event"] == "turn"]
    assert (turn["room"], turn["tenant_id"]) == (name, "acme")
    assert len(turn["trace_id"]) == 32
