"""LiveKit and Redis that are not there, and the worker's answers to jobs."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from livekit import api
from livekit.agents import llm

from hocket.chassis.errors import Unavailable
from services.media_gateway.adapters.livekit_server import LiveKitServer
from services.media_gateway.adapters.livekit_worker import Worker
from services.media_gateway.adapters.session_store import SessionStore
from services.media_gateway.config import WorkerConfig
from services.media_gateway.rooms.admission import SlotAnswer
from services.media_gateway.rooms.job_context import JobContext
from services.media_gateway.rooms.names import AGENT_IDENTITY

JOB = JobContext("acme", "free", "demo", "ann")
NOWHERE = "ws://127.0.0.1:1"


async def test_a_livekit_that_is_not_there_is_unavailable_to_every_call():
    client = api.LiveKitAPI(NOWHERE, "key", "a-livekit-secret-of-32-bytes-or-more")
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


async def test_without_redis_an_agent_begins_anew_and_nothing_is_kept():
    store = SessionStore.connect("redis://127.0.0.1:1", tenant_id="acme", room_sid="RM_1", ttl_s=60)
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="hello")
    assert await store.load() is None
    assert await store.save(context) is False
    await store.close()


class Request:
    """A job as LiveKit offers it."""

    def __init__(self, metadata: str, room: str = "acme__demo") -> None:
        self.job, self.room = SimpleNamespace(metadata=metadata), SimpleNamespace(name=room)
        self.answer: tuple[str, object] | None = None

    async def accept(self, *, name: str, identity: str) -> None:
        self.answer = ("accepted", identity)

    async def reject(self, *, terminate: bool) -> None:
        self.answer = ("rejected", terminate)


async def nothing(_: object) -> None:
    pass


def worker(slot: SlotAnswer) -> Worker:
    async def ask(job: JobContext, livekit_room: str) -> SlotAnswer:
        assert (job, livekit_room) == (JOB, "acme__demo")
        return slot

    rules = WorkerConfig(NOWHERE, "key", "secret", "hocket", 2, 0, 10, 10, "INFO")
    return Worker(rules, nothing, lambda _: None, ask)


@pytest.mark.parametrize(
    ("metadata", "slot", "expected"),
    [
        (JOB.to_json(), SlotAnswer(acquired=True), ("accepted", AGENT_IDENTITY)),
        (JOB.to_json(), SlotAnswer(acquired=None), ("accepted", AGENT_IDENTITY)),
        (JOB.to_json(), SlotAnswer(acquired=False), ("rejected", True)),
        ("{}", SlotAnswer(acquired=True), ("rejected", True)),
    ],
)
async def test_a_job_is_answered_by_what_it_says_and_what_the_tenant_may(metadata, slot, expected):
    request = Request(metadata)
    await worker(slot)._on_request(request)
    assert request.answer == expected


async def test_a_worker_that_has_not_registered_is_not_ready_and_can_be_closed():
    idle = worker(SlotAnswer(acquired=True))
    with pytest.raises(Unavailable):
        await idle.check()
    assert idle.active_rooms() == 0
    await idle.close()
    logging.getLogger("livekit.agents").setLevel(logging.NOTSET)
