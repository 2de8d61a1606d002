"""The sweep over all rooms."""

from __future__ import annotations

import asyncio

from services.media_gateway.dispatch.watcher import RoomWatcher
from tests.fakes.waiting import until


async def test_the_sweep_replaces_a_dead_agent_with_the_same_job_context(served):
    livekit = served.livekit
    livekit.agents_come = True
    async with served.client() as rooms:
        await rooms.create_room("demo")
        await rooms.join_room("demo", "ann")
    livekit.join("acme__demo", "ann")
    orders = livekit.dispatches["acme__demo"][0].metadata
    livekit.leave("acme__demo", "hocket-agent")
    await served.watcher.sweep()
    assert livekit.dispatched == 1
    livekit.clock.now_s += 11
    await served.watcher.sweep()
    await served.watcher.sweep()
    assert livekit.dispatched == 2
    assert [d.metadata for d in livekit.dispatches["acme__demo"]] == [orders]


async def test_an_outage_of_livekit_does_not_end_the_sweep(served):
    watcher = RoomWatcher(served.livekit, served.dispatcher, sweep_interval_s=0.01)
    served.livekit.away = True
    async with watcher:
        await asyncio.sleep(0.05)
        served.livekit.away = False
        async with served.client() as rooms:
            await rooms.create_room("demo")
        served.livekit.join("acme__demo", "ann")
        await until(lambda: served.livekit.dispatched)
