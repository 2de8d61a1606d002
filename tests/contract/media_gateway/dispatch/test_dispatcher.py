"""Dispatches of agents."""

from __future__ import annotations

import asyncio

import pytest

from hocket.chassis.errors import Unavailable
from services.media_gateway.errors import AgentNotDispatched
from services.media_gateway.rooms.job_context import JobContext
from services.media_gateway.rooms.records import Dispatch


async def test_joins_after_a_rejected_dispatch_dispatch_one_agent(served, monkeypatch):
    create_dispatch = served.livekit.create_dispatch
    first_waits, first_fails = asyncio.Event(), asyncio.Event()

    async def reject_first_call(livekit_room: str, metadata: str) -> Dispatch:
        if not first_waits.is_set():
            first_waits.set()
            await first_fails.wait()
            raise Unavailable("LiveKit rejected the call: resource_exhausted", retry_after_s=1)
        await asyncio.sleep(0.02)
        return await create_dispatch(livekit_room, metadata)

    monkeypatch.setattr(served.livekit, "create_dispatch", reject_first_call)
    context = JobContext("acme", "pro", "demo", "ann")

    def start_join() -> asyncio.Task[bool]:
        return asyncio.create_task(served.dispatcher.ensure_agent("acme__demo", context, cause="join"))

    first = start_join()
    await first_waits.wait()
    second = start_join()
    await asyncio.sleep(0)
    first_fails.set()
    with pytest.raises(AgentNotDispatched):
        await first
    third = start_join()
    assert [await second, await third] == [True, False]
    assert served.livekit.dispatch_count == 1
