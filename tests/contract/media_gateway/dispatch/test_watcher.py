"""The sweep over all rooms."""

from __future__ import annotations

import asyncio

from hocket.chassis.errors import Unavailable
from services.media_gateway.dispatch.watcher import RoomWatcher
from services.media_gateway.rooms.records import Dispatch
from tests.fakes.waiting import until


async def test_the_sweep_replaces_a_dead_agent_with_the_same_job_context(served):
    livekit = served.livekit
    livekit.agents_join = True
    async with served.client() as rooms:
        await rooms.create_room("demo")
        await rooms.join_room("demo", "ann")
    livekit.add_participant("acme__demo", "ann")
    orders = livekit.dispatches["acme__demo"][0].metadata
    livekit.remove_participant("acme__demo", "hocket-agent")
    await served.watcher.sweep()
    assert livekit.dispatch_count == 1
    livekit.clock.now_s += 11
    await served.watcher.sweep()
    await served.watcher.sweep()
    assert livekit.dispatch_count == 2
    assert [d.metadata for d in livekit.dispatches["acme__demo"]] == [orders]


async def test_an_outage_of_livekit_does_not_end_the_sweep(served):
    watcher = RoomWatcher(served.livekit, served.dispatcher, sweep_interval_s=0.01)
    served.livekit.unavailable = True
    async with watcher:
        await asyncio.sleep(0.05)
        served.livekit.unavailable = False
        async with served.client() as rooms:
            await rooms.create_room("demo")
        served.livekit.add_participant("acme__demo", "ann")
        await until(lambda: served.livekit.dispatch_count)


async def test_a_rejected_dispatch_keeps_the_job_context_for_the_next_sweep(served):
    livekit = served.livekit
    async with served.client() as rooms:
        await rooms.create_room("demo")
        await rooms.join_room("demo", "ann")
    livekit.add_participant("acme__demo", "ann")
    (context,) = [d.metadata for d in livekit.dispatches["acme__demo"]]
    livekit.clock.now_s += 11
    livekit.rejects_dispatch = True
    await served.watcher.sweep()
    assert [d.metadata for d in livekit.dispatches["acme__demo"]] == [context]
    livekit.rejects_dispatch = False
    await served.watcher.sweep()
    assert livekit.dispatch_count == 2
    assert [d.metadata for d in livekit.dispatches["acme__demo"]] == [context]


async def test_a_rejected_dispatch_does_not_end_the_sweep(served, monkeypatch):
    create_dispatch = served.livekit.create_dispatch

    async def reject_first_room(livekit_room: str, metadata: str) -> Dispatch:
        if livekit_room == "acme__one":
            raise Unavailable("LiveKit rejected the call: resource_exhausted", retry_after_s=1)
        return await create_dispatch(livekit_room, metadata)

    monkeypatch.setattr(served.livekit, "create_dispatch", reject_first_room)
    async with served.client() as rooms:
        for name in ("one", "two"):
            await rooms.create_room(name)
            served.livekit.add_participant(f"acme__{name}", "ann")
    await served.watcher.sweep()
    assert list(served.livekit.dispatches) == ["acme__two"]
