"""RoomService over a real gRPC socket: each RPC and its errors."""

from __future__ import annotations

import asyncio

import jwt
import pytest
from prometheus_client import REGISTRY

from hocket.chassis.errors import InvalidArgument, NotFound, Unauthenticated, Unavailable
from services.media_gateway.rooms.job_context import parse_job_context
from tests.fakes.waiting import DEADLINE_S


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_creating_a_room_twice_returns_the_same_room(served):
    async with served.client() as rooms:
        first = await rooms.create_room("demo", empty_timeout_s=60, max_participants=3)
        again = await rooms.create_room("demo")
    assert first == again
    assert (first.name, first.participants, first.agent_present) == ("demo", 0, False)
    assert served.livekit.rooms["acme__demo"].metadata == '{"tenant_id": "acme"}'


async def test_limits_and_their_defaults_reach_livekit(served):
    async with served.client() as rooms:
        await rooms.create_room("small", empty_timeout_s=60, max_participants=3)
        await rooms.create_room("usual")
    assert served.livekit.sizes == {"acme__small": (60, 3), "acme__usual": (300, 10)}


async def test_joining_returns_a_token_for_one_room_and_dispatches_one_agent(served):
    async with served.client() as rooms:
        await rooms.create_room("demo")
        access = await rooms.join_room("demo", "ann", display_name="Ann")
        await rooms.join_room("demo", "bob")
    claims = jwt.decode(access.token, options={"verify_signature": False})
    assert (access.url, access.livekit_room) == ("ws://livekit.test", "acme__demo")
    assert (claims["sub"], claims["name"], claims["video"]["room"]) == ("ann", "Ann", "acme__demo")
    assert not claims["video"].get("roomAdmin")
    assert not claims["video"].get("roomCreate")
    assert claims["exp"] - claims["nbf"] == 600
    assert served.livekit.dispatch_count == 1
    context = parse_job_context(served.livekit.dispatches["acme__demo"][0].metadata)
    assert (context.tenant_id, context.tenant_tier, context.room, context.user_id) == (
        "acme",
        "standard",
        "demo",
        "ann",
    )


async def test_concurrent_joins_dispatch_one_agent(served):
    async with served.client() as rooms:
        await rooms.create_room("demo")
        await asyncio.gather(*(rooms.join_room("demo", f"p{n}") for n in range(8)))
    assert served.livekit.dispatch_count == 1


async def test_a_missing_agent_is_dispatched_again_after_the_grace_time(served):
    async with served.client() as rooms:
        await rooms.create_room("demo")
        served.livekit.agents_join = True
        await rooms.join_room("demo", "ann")
        served.livekit.remove_participant("acme__demo", "hocket-agent")
        await rooms.join_room("demo", "ann")
        assert served.livekit.dispatch_count == 1
        served.livekit.clock.now_s += 11
        await rooms.join_room("demo", "ann")
    assert served.livekit.dispatch_count == 2
    assert len(served.livekit.dispatches["acme__demo"]) == 1


async def test_an_unanswered_dispatch_is_counted_and_delays_no_join(served):
    before = sample("hocket_media_gateway_agents_missing_total")
    async with served.client() as rooms:
        await rooms.create_room("demo")
        await rooms.join_room("demo", "ann")
        async with asyncio.timeout(DEADLINE_S):
            while sample("hocket_media_gateway_agents_missing_total") == before:  # noqa: ASYNC110 - metrics are pulled
                await asyncio.sleep(0.05)
        # The grace time has doubled.
        served.livekit.clock.now_s += 11
        await rooms.join_room("demo", "ann")
    assert served.livekit.dispatch_count == 1


async def test_get_room_token_dispatches_no_agent(served):
    async with served.client() as rooms:
        await rooms.create_room("demo")
        access = await rooms.get_room_token("demo", "ann")
    assert jwt.decode(access.token, options={"verify_signature": False})["sub"] == "ann"
    assert served.livekit.dispatch_count == 0


async def test_rooms_are_listed_by_name_with_their_participants(served):
    async with served.client() as rooms:
        for name in ("b", "a"):
            await rooms.create_room(name)
        served.livekit.add_participant("acme__b", "ann")
        served.livekit.add_participant("acme__b", "hocket-agent", is_agent=True)
        listed = await rooms.list_rooms()
    assert [(r.name, r.participants, r.agent_present) for r in listed] == [("a", 0, False), ("b", 1, True)]


async def test_deleting_a_missing_room_succeeds(served):
    async with served.client() as rooms:
        await rooms.create_room("demo")
        await rooms.delete_room("demo")
        await rooms.delete_room("demo")
        assert list(await rooms.list_rooms()) == []


async def test_a_room_of_another_tenant_is_not_found(served):
    async with served.client("acme") as acme, served.client("other") as other:
        await acme.create_room("demo")
        assert list(await other.list_rooms()) == []
        for call in (other.join_room, other.get_room_token):
            with pytest.raises(NotFound) as caught:
                await call("demo", "eve")
            assert caught.value.reason == "ROOM_NOT_FOUND"
        await other.delete_room("demo")
        assert [room.name for room in await acme.list_rooms()] == ["demo"]


async def test_tenant_ids_with_the_separator_reach_no_other_tenants_room(served):
    async with served.client("a__b") as victim, served.client("a") as attacker:
        await victim.create_room("c")
        with pytest.raises(InvalidArgument):
            await attacker.join_room("b__c", "eve")


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda r: r.create_room("no spaces"), "name"),
        (lambda r: r.create_room("ok", empty_timeout_s=5), "empty_timeout"),
        (lambda r: r.create_room("ok", max_participants=101), "max_participants"),
        (lambda r: r.join_room("ok", ""), "identity"),
        (lambda r: r.join_room("ok", "hocket-agent"), "identity"),
        (lambda r: r.join_room("", "ann"), "room"),
        (lambda r: r.join_room("ok", "ann", display_name="x" * 129), "display_name"),
        (lambda r: r.get_room_token("ok", "a b"), "identity"),
        (lambda r: r.delete_room(""), "name"),
    ],
)
async def test_invalid_input_names_its_field(served, call, field):
    async with served.client() as rooms:
        with pytest.raises(InvalidArgument) as caught:
            await call(rooms)
    assert list(caught.value.fields) == [field]


async def test_a_call_without_a_token_is_rejected(served):
    async with served.client(token="") as rooms:
        with pytest.raises(Unauthenticated) as caught:
            await rooms.list_rooms()
    assert caught.value.reason == "TOKEN_MISSING"


async def test_an_outage_of_livekit_is_unavailable(served):
    served.livekit.unavailable = True
    async with served.client() as rooms:
        for call in (rooms.list_rooms(), rooms.create_room("demo"), rooms.join_room("demo", "ann")):
            with pytest.raises(Unavailable) as caught:
                await call
            assert caught.value.retry_after_s == 1


async def test_a_rejected_dispatch_is_agent_not_dispatched(served):
    served.livekit.rejects_dispatch = True
    async with served.client() as rooms:
        await rooms.create_room("demo")
        with pytest.raises(Unavailable) as caught:
            await rooms.join_room("demo", "ann")
        assert (caught.value.reason, caught.value.retry_after_s) == ("AGENT_NOT_DISPATCHED", 1)
        served.livekit.rejects_dispatch = False
        await rooms.join_room("demo", "ann")
    assert served.livekit.dispatch_count == 1
