"""A tenant's slot from a ratelimit service in process, and turns reported between processes."""

from __future__ import annotations

import asyncio

from prometheus_client import REGISTRY

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.client.ratelimit import RateLimitClient
from services.media_gateway.adapters import turn_reports
from services.media_gateway.adapters.room_slots import JobSlots, RoomSlot
from services.media_gateway.config import MeshKey, Peers
from services.media_gateway.rooms.job_context import JobContext
from tests.fakes import mesh_peers
from tests.fakes.waiting import DEADLINE_S

JOB = JobContext("acme", "free", "demo", "ann")


def peers_at(target: str) -> Peers:
    return Peers("", "", "", "", target, "", "", MeshKey(mesh_peers.SECRET), None)


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_slot_is_asked_for_in_the_tenants_name_and_can_be_refused():
    async with mesh_peers.serving() as peers:
        peers.limits.capacity = 1
        desk = JobSlots(peers_at(peers.target), ttl_s=60)
        assert (await desk.acquire(JOB, "acme__demo")).acquired is True
        assert (await desk.acquire(JOB, "acme__demo")).acquired is True
        assert (await desk.acquire(JOB, "acme__other")).acquired is False
        assert peers.limits.holders == {("acme", "acme__demo")}


async def test_without_ratelimit_rooms_are_served_and_that_is_counted():
    before = sample("hocket_limiter_unavailable_total", operation="acquire")
    assert (await JobSlots(peers_at(""), ttl_s=60).acquire(JOB, "acme__demo")).acquired is None
    assert (await JobSlots(peers_at("127.0.0.1:1"), ttl_s=60).acquire(JOB, "acme__demo")).acquired is None
    assert sample("hocket_limiter_unavailable_total", operation="acquire") == before + 1


async def test_a_slot_is_renewed_and_given_back_unless_another_agent_has_it():
    token = TokenMinter(mesh_peers.SECRET).mint("acme", caller="test")
    async with mesh_peers.serving() as peers, MeshChannel(peers.target, lambda: token) as channel:
        slot = RoomSlot(RateLimitClient(channel), "acme__demo", ttl_s=1.5)
        slot.start_renewal(on_failure=lambda: None)
        async with asyncio.timeout(DEADLINE_S):
            while not peers.limits.holders:  # noqa: ASYNC110 - it comes as it comes
                await asyncio.sleep(0.02)
        await slot.release(replaced=True)
        assert peers.limits.released == []
        await slot.release(replaced=False)
        assert peers.limits.released == ["acme__demo"]


async def test_turns_of_a_rooms_process_are_counted_here(tmp_path):
    before = sample("hocket_media_gateway_turns_total", tenant_tier="free", outcome="degraded")
    transport = await turn_reports.listen(tmp_path / "turns")
    reporter = turn_reports.TurnReporter(str(tmp_path / "turns"), "free")
    facts = {"interrupted": False, "degraded": ["rag", "nonsense"], "timings_ms": {"e2e": 300}, "heard": "secret"}
    reporter.report(facts)
    lost = turn_reports.TurnReporter(str(tmp_path / "nobody"), "free")
    lost.report(facts)
    lost.close()
    reporter._socket.sendto(b"not json", str(tmp_path / "turns"))
    async with asyncio.timeout(DEADLINE_S):
        while sample("hocket_media_gateway_turns_total", tenant_tier="free", outcome="degraded") == before:  # noqa: ASYNC110 - it comes as it comes
            await asyncio.sleep(0.01)
    assert sample("hocket_media_gateway_degraded_turns_total", part="rag") >= 1
    assert sample("hocket_media_gateway_degraded_turns_total", part="nonsense") == 0
    reporter.close()
    transport.close()
