"""Rooms of a tenant with a backend, video and a session store."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import pytest_asyncio
from aiohttp import web
from hocket.llm_router.v1 import llm_router_pb2

from tests.fakes import mesh_peers, room_guest
from tests.fakes.waiting import DEADLINE_S, until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # The guest's LiveKit client now and then drops a handle twice when a stream ends, and asserts in __del__.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Backend:
    def __init__(self) -> None:
        self.dead = False
        self.tasks: dict[str, dict] = {}
        self.greeting = ""

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._alive])
        app.router.add_get("/v1/settings", self._settings)
        app.router.add_get("/v1/users/{user_id}", self._user)
        app.router.add_post("/v1/tasks", self._task)
        return app

    @web.middleware
    async def _alive(self, request, handler):
        return web.json_response({}, status=503) if self.dead else await handler(request)

    async def _settings(self, request):
        return web.json_response(
            {"instructions": "Be brief.", "greeting": self.greeting, "profile": "fast", "key_terms": ["Hocket"]}
        )

    async def _user(self, request):
        return web.json_response({"user_id": request.match_info["user_id"], "display_name": "Ann", "notes": ""})

    async def _task(self, request):
        task = self.tasks.setdefault(request.headers["Idempotency-Key"], await request.json())
        return web.json_response({"task_id": "t1", "title": task["title"]}, status=201)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[Backend]:
    backend = Backend()
    runner = web.AppRunner(backend.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    backend.url = f"http://127.0.0.1:{runner.addresses[0][1]}"  # type: ignore[attr-defined]
    yield backend
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(run_gateway, livekit_server, redis_url, backend, tmp_path_factory):
    async with mesh_peers.serving() as peers:
        settings = {"BACKEND_URL": backend.url, "VISION_TARGET": peers.target, "REDIS_URL": redis_url}
        async with run_gateway(livekit_server, tmp_path_factory.mktemp("gateway"), peers, **settings) as running:
            yield running


@asynccontextmanager
async def joined_room(gateway):
    name = f"room-{uuid.uuid4().hex[:8]}"
    gateway.peers.router.answer = mesh_peers.answers_with("All right.")
    async with gateway.rooms() as rooms:
        await rooms.create_room(name)
        async with room_guest.Guest(await rooms.join_room(name, "ann")) as guest:
            await asyncio.wait_for(guest.agent_joined.wait(), DEADLINE_S)
            await asyncio.sleep(0.5)
            yield guest
        await rooms.delete_room(name)


async def test_a_task_is_created_once_and_confirmed(gateway, backend):
    async with joined_room(gateway) as guest:
        gateway.peers.router.answer = mesh_peers.calls_tool(
            "create_task", '{"title": "call Bob", "due": "tomorrow"}', "I noted it."
        )
        await guest.type_text("remind me to call Bob tomorrow")
        turn = await guest.next_turn_summary()
    assert turn["answered"].strip() == "I noted it."
    assert [(call["name"], call["ok"]) for call in turn["tool_calls"]] == [("create_task", True)]
    assert [(t["title"], t["due"], t["user_id"]) for t in backend.tasks.values()] == [("call Bob", "tomorrow", "ann")]
    first, second = gateway.peers.router.requests[-2:]
    assert {tool.name for tool in first.tools} == {
        "search_knowledge",
        "get_user_profile",
        "create_task",
        "log_insight",
    }
    assert first.turn_id == second.turn_id == turn["turn_id"]
    assert '"task_id": "t1"' in second.messages[-1].parts[0].tool_result.content
    assert first.messages[0].parts[0].text == "Be brief."


async def test_a_failed_backend_is_reported_to_the_model(gateway, backend):
    async with joined_room(gateway) as guest:
        backend.dead = True
        try:
            gateway.peers.router.answer = mesh_peers.calls_tool("get_user_profile", "{}", "I cannot tell.")
            await guest.type_text("who am I then")
            turn = await guest.next_turn_summary()
        finally:
            backend.dead = False
    assert turn["answered"].strip() == "I cannot tell."
    assert turn["degraded"] == ["backend"]
    assert gateway.peers.router.requests[-1].messages[-1].parts[0].tool_result.is_error


async def test_without_a_backend_default_settings_are_used(gateway, backend):
    backend.dead = True
    try:
        async with joined_room(gateway) as guest:
            await guest.type_text("hello there")
            assert (await guest.next_turn_summary())["answered"].strip() == "All right."
    finally:
        backend.dead = False


async def test_the_greeting_is_spoken_first(gateway, backend):
    backend.greeting = "Welcome to the office."
    try:
        async with joined_room(gateway) as guest:
            await guest.wait_for_sound(0)
            assert "Welcome to the office." in gateway.peers.speech.synthesized
    finally:
        backend.greeting = ""


async def test_only_a_question_about_the_camera_carries_a_frame(gateway):
    pictures = [np.full((360, 640, 4), shade, np.uint8) for shade in (40, 200)]
    async with joined_room(gateway) as guest:
        await guest.publish_video(pictures)
        await until(lambda: gateway.peers.vision.uploads)
        await guest.type_text("when does the office open")
        plain = await guest.next_turn_summary()
        await guest.type_text("what do you see on my screen")
        shown = await guest.next_turn_summary()
    request = gateway.peers.router.requests[-1]
    image = next(part.image for part in request.messages[-1].parts if part.WhichOneof("content") == "image")
    assert (plain["images"], shown["images"]) == (0, 1)
    assert image.mime_type == "image/jpeg"
    assert image.data[:2] == b"\xff\xd8"
    assert abs(time.time() - image.captured_at.seconds) < 20
    assert shown["frames"]["seen"] >= shown["frames"]["kept"] >= 1


async def test_a_replacing_agent_continues_the_conversation(gateway, backend):
    backend.greeting = "Welcome to the office."
    try:
        async with joined_room(gateway) as guest:
            await guest.wait_for_sound(0)
            await guest.type_text("my name is Ann")
            await guest.next_turn_summary()
            await asyncio.sleep(0.5)
            guest.agent_joined.clear()
            greetings = gateway.peers.speech.synthesized.count("Welcome to the office.")
            os.kill(gateway.newest_room_pid(), signal.SIGKILL)
            await asyncio.wait_for(guest.agent_joined.wait(), DEADLINE_S)
            await asyncio.sleep(1)
            await guest.type_text("what is my name")
            await guest.next_turn_summary()
    finally:
        backend.greeting = ""
    said = [part.text for message in gateway.peers.router.requests[-1].messages for part in message.parts]
    assert "my name is Ann" in said
    assert any(text.strip() == "All right." for text in said)
    assert sum(m.role == llm_router_pb2.ROLE_SYSTEM for m in gateway.peers.router.requests[-1].messages) == 1
    assert gateway.peers.speech.synthesized.count("Welcome to the office.") == greetings


async def test_a_stopped_gateway_releases_its_slots(gateway):
    async with gateway.rooms() as rooms:
        await rooms.create_room("last")
        access = await rooms.join_room("last", "ann")
    async with room_guest.Guest(access) as guest:
        await asyncio.wait_for(guest.agent_joined.wait(), DEADLINE_S)
        gone = asyncio.Event()
        guest.room.on("participant_disconnected", lambda _: gone.set())
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(gone.wait(), DEADLINE_S)
    assert await asyncio.wait_for(gateway.process.wait(), DEADLINE_S) == 0
    assert "acme__last" in gateway.peers.limits.released


async def test_a_stopped_gateway_lets_a_conversation_end(run_gateway, livekit_server, tmp_path_factory):
    async with mesh_peers.serving() as peers:
        folder = tmp_path_factory.mktemp("gateway")
        async with run_gateway(livekit_server, folder, peers, WORKER_DRAIN_S="120") as gateway:
            async with gateway.rooms() as rooms:
                await rooms.create_room("talking")
                access = await rooms.join_room("talking", "ann")
            async with room_guest.Guest(access) as guest:
                await asyncio.wait_for(guest.agent_joined.wait(), DEADLINE_S)
                gateway.process.send_signal(signal.SIGTERM)
                await asyncio.sleep(3)
                await guest.type_text("are you still there")
                assert (await guest.next_turn_summary())["answered"].strip() == "The office opens at nine."
                assert "livekit_active_rooms 1.0" in (await gateway.metrics()).splitlines()
            assert await asyncio.wait_for(gateway.process.wait(), DEADLINE_S) == 0
