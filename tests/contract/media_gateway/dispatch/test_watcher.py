"""The sweep over all rooms."""

from __future__ import annotations

import asyncio

from services.media_gateway.dispatch.watcher import RoomWatcher
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
