"""How rooms are named on LiveKit, what may be asked for, and when an agent is sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.chassis.errors import InvalidArgument
from services.media_gateway import rooms
from services.media_gateway.rooms import Dispatch, DispatchRule, JobContext, Person

RULE = DispatchRule(grace_s=10, grace_s_max=60)
ANN, AGENT = Person("ann", is_agent=False), Person("hocket-agent", is_agent=True)
TENANTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)
ROOMS = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True).filter(rooms.is_room_name)


@given(TENANTS, ROOMS)
def test_a_livekit_name_gives_back_its_tenant_and_room_whatever_they_are_called(tenant_id, room):
    assert rooms.split_name(rooms.livekit_name(tenant_id, room)) == (tenant_id, room)


@pytest.mark.parametrize("name", ["", "a__b", "_a", "a b", "a/b", "x" * 65, "é"])
def test_a_name_that_could_be_taken_for_another_tenants_room_is_refused(name):
    with pytest.raises(InvalidArgument) as caught:
        rooms.check_room_name("name", name)
    assert "name" in caught.value.fields


@pytest.mark.parametrize("livekit_room", ["", "plain", "__room", "tenant__", "tenant__bad name"])
def test_a_room_that_is_not_ours_has_no_tenant(livekit_room):
    assert rooms.split_name(livekit_room) is None


def test_nobody_may_take_the_agents_identity():
    rooms.check_identity("identity", "ann@example.org")
    with pytest.raises(InvalidArgument):
        rooms.check_identity("identity", rooms.AGENT_IDENTITY)
    with pytest.raises(InvalidArgument):
        rooms.check_identity("identity", "ann smith")


def test_sizes_have_defaults_and_bounds():
    assert rooms.empty_timeout_s(None) == 300
    assert rooms.participants_max(0) == 10
    for seconds in (9.9, 86_401):
        with pytest.raises(InvalidArgument):
            rooms.empty_timeout_s(seconds)
    for people in (-1, 101):
        with pytest.raises(InvalidArgument):
            rooms.participants_max(people)
    with pytest.raises(InvalidArgument):
        rooms.check_display_name("display_name", "ü" * 65)


def test_dispatch_metadata_comes_back_and_room_metadata_holds_the_tenant_alone():
    context = JobContext("acme", "premium", "demo", "ann")
    assert rooms.job_context(context.to_json()) == context
    assert json.loads(rooms.room_metadata("acme")) == {"tenant_id": "acme"}


@pytest.mark.parametrize("metadata", ["", "[]", "{}", "nonsense", '{"tenant_id": 1, "tenant_tier": "free"}', "null"])
def test_metadata_of_others_is_not_a_job_of_ours(metadata):
    assert rooms.job_context(metadata) is None


@pytest.mark.parametrize(
    ("people", "ages_s", "vain", "expected"),
    [
        ([ANN], [], 0, True),
        ([], [], 0, True),  # whoever joins is about to come
        ([ANN, AGENT], [], 0, False),
        ([ANN], [9], 0, False),
        ([ANN], [10], 0, True),
        ([ANN], [100, 9], 0, False),
        ([ANN], [19], 1, False),
        ([ANN], [20], 1, True),
        ([ANN], [59], 30, False),
        ([ANN], [60], 30, True),
    ],
)
def test_an_agent_is_sent_when_none_is_there_or_on_its_way(people, ages_s, vain, expected):
    now_s = 1000.0
    dispatches = [Dispatch(f"d{age}", now_s - age, "") for age in ages_s]
    assert rooms.needs_dispatch(RULE, now_s, people, dispatches, vain=vain) is expected


def test_an_agent_that_follows_another_has_its_orders_for_somebody_who_is_still_there():
    orders = JobContext("acme", "premium", "demo", "ann")
    assert rooms.orders_for(("acme", "demo"), [orders], ["bob", "ann"]) == orders
    assert rooms.orders_for(("acme", "demo"), [orders], ["bob"]).user_id == "bob"
    assert rooms.orders_for(("acme", "demo"), [JobContext("x", "free", "demo", "ann")], ["bob"]) == JobContext(
        "acme", "standard", "demo", "bob"
    )
