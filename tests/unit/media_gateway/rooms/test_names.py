"""Names of rooms on the LiveKit server."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.media_gateway.rooms import names

TENANTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)
ROOMS = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True).filter(names.is_room_name)


@given(TENANTS, ROOMS)
def test_splitting_a_livekit_name_returns_its_tenant_and_room(tenant_id, room):
    assert names.split_livekit_name(names.livekit_name(tenant_id, room)) == (tenant_id, room)


@pytest.mark.parametrize("livekit_room", ["", "plain", "__room", "tenant__", "tenant__bad name"])
def test_a_room_of_another_application_has_no_tenant(livekit_room):
    assert names.split_livekit_name(livekit_room) is None


def test_room_metadata_contains_the_tenant_id_only():
    assert json.loads(names.room_metadata("acme")) == {"tenant_id": "acme"}
