"""Join a room, send the agent a chat message, and print its answer, which it also speaks.

make up                                      # starts the mesh
eval "$(.venv/bin/hocket-local env)"         # sets TOKEN and the address of each service
.venv/bin/python examples/join_room.py "$MEDIA_GATEWAY" "where do visitors park"
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from livekit import rtc

from hocket.client import MeshChannel, MeshError, RoomClient

ROOM, IDENTITY = "example", "ada"


async def main(target: str, token: str, question: str) -> None:
    """Send `question` as chat once the agent has joined, and print the report of the turn."""
    async with MeshChannel(target, lambda: token) as channel:
        rooms = RoomClient(channel)
        await rooms.create_room(ROOM)
        access = await rooms.join_room(ROOM, IDENTITY, display_name="Ada")
        room, agent_joined, answered = rtc.Room(), asyncio.Event(), asyncio.Event()

        async def show(reader: rtc.TextStreamReader) -> None:
            turn = json.loads(await reader.read_all())
            print(f"{turn['heard']} -> {turn['answered']} ({turn['model']}, tier {turn['tier']})")
            answered.set()

        reading: list[asyncio.Task[None]] = []
        room.register_text_stream_handler("hocket.turn", lambda r, _: reading.append(asyncio.create_task(show(r))))
        room.on("track_subscribed", lambda *_: agent_joined.set())  # pyright: ignore[reportUnknownMemberType,reportUnknownLambdaType]
        await room.connect(access.url, access.token)
        try:
            await asyncio.wait_for(agent_joined.wait(), 30)
            await room.local_participant.send_text(question, topic="lk.chat")
            await asyncio.wait_for(answered.wait(), 30)
        finally:
            await room.disconnect()
            await rooms.delete_room(ROOM)


if __name__ == "__main__":
    if len(sys.argv) != 3 or "TOKEN" not in os.environ:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], os.environ["TOKEN"], sys.argv[2]))
    except (MeshError, TimeoutError) as error:
        sys.exit(f"{type(error).__name__}: {error or 'no answer within 30 s'}")
