"""The worker's answers to job offers, and its readiness."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from hocket.chassis.errors import Unavailable
from services.media_gateway.adapters.livekit_worker import Worker
from services.media_gateway.config import WorkerConfig
from services.media_gateway.rooms.admission import SlotAnswer
from services.media_gateway.rooms.job_context import JobContext
from services.media_gateway.rooms.names import AGENT_IDENTITY

JOB = JobContext("acme", "free", "demo", "ann")
UNREACHABLE = "ws://127.0.0.1:1"


class Request:
    """A job offer."""

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

    rules = WorkerConfig(UNREACHABLE, "key", "secret", "hocket", 2, 0, 10, 10, "INFO")
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
async def test_a_job_is_accepted_or_rejected_by_its_metadata_and_slot(metadata, slot, expected):
    request = Request(metadata)
    await worker(slot)._on_request(request)
    assert request.answer == expected


async def test_an_unregistered_worker_is_not_ready_and_can_be_closed():
    idle = worker(SlotAnswer(acquired=True))
    with pytest.raises(Unavailable):
        await idle.check()
    assert idle.active_rooms() == 0
    await idle.close()
    logging.getLogger("livekit.agents").setLevel(logging.NOTSET)
