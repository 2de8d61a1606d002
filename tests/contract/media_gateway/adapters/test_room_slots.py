"""Room slots at a ratelimit service in process."""

from __future__ import annotations

from prometheus_client import REGISTRY

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.client.ratelimit import RateLimitClient
from services.media_gateway.adapters.room_slots import JobSlots, RoomSlot
from services.media_gateway.config import MeshKey, Peers
from services.media_gateway.rooms.job_context import JobContext
from tests.fakes import mesh_peers
from tests.fakes.waiting import until

JOB = JobContext("acme", "free", "demo", "ann")


def peers_at(target: str) -> Peers:
    return Peers("", "", "", "", target, "", "", MeshKey(mesh_peers.SECRET), None)


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_slot_is_acquired_for_the_tenant_and_can_be_refused():
    async with mesh_peers.serving() as peers:
        peers.limits.capacity = 1
        slots = JobSlots(peers_at(peers.target), ttl_s=60)
        assert (await slots.acquire(JOB, "acme__demo")).acquired is True
        assert (await slots.acquire(JOB, "acme__demo")).acquired is True
        assert (await slots.acquire(JOB, "acme__other")).acquired is False
        assert peers.limits.holders == {("acme", "acme__demo")}


async def test_an_outage_of_ratelimit_is_counted():
    before = sample("hocket_limiter_unavailable_total", operation="acquire")
    assert (await JobSlots(peers_at(""), ttl_s=60).acquire(JOB, "acme__demo")).acquired is None
    assert (await JobSlots(peers_at("127.0.0.1:1"), ttl_s=60).acquire(JOB, "acme__demo")).acquired is None
    assert sample("hocket_limiter_unavailable_total", operation="acquire") == before + 1


async def test_a_slot_is_renewed_and_released_unless_the_agent_was_replaced():
    token = TokenMinter(mesh_peers.SECRET).mint("acme", caller="test")
    async with mesh_peers.serving() as peers, MeshChannel(peers.target, lambda: token) as channel:
        slot = RoomSlot(RateLimitClient(channel), "acme__demo", ttl_s=1.5)
        slot.start_renewal(on_failure=lambda: None)
        await until(lambda: peers.limits.holders)
        await slot.release(replaced=True)
        assert peers.limits.released == []
        await slot.release(replaced=False)
        assert peers.limits.released == ["acme__demo"]
