"""Limits and defaults of the fields in RoomService requests."""

from __future__ import annotations

import pytest

from hocket.chassis.errors import InvalidArgument
from services.media_gateway.rooms import requests
from services.media_gateway.rooms.names import AGENT_IDENTITY


@pytest.mark.parametrize("name", ["", "a__b", "_a", "a b", "a/b", "x" * 65, "é"])
def test_an_ambiguous_or_malformed_room_name_is_rejected(name):
    with pytest.raises(InvalidArgument) as caught:
        requests.check_room_name("name", name)
    assert "name" in caught.value.fields


@pytest.mark.parametrize("identity", [AGENT_IDENTITY, "ann smith", "", "x" * 65])
def test_a_malformed_identity_and_the_agents_identity_are_rejected(identity):
    with pytest.raises(InvalidArgument):
        requests.check_identity("identity", identity)


def test_an_email_address_is_a_valid_identity():
    requests.check_identity("identity", "ann@example.org")


def test_a_display_name_is_limited_in_bytes():
    requests.check_display_name("display_name", "ü" * 64)
    with pytest.raises(InvalidArgument) as caught:
        requests.check_display_name("display_name", "ü" * 65)
    assert "130 bytes" in caught.value.fields["display_name"]


def test_unset_limits_have_defaults():
    assert requests.empty_timeout_s(None) == 300
    assert requests.participants_max(0) == 10


@pytest.mark.parametrize("seconds", [9.9, 86_401])
def test_an_empty_timeout_out_of_range_is_rejected(seconds):
    with pytest.raises(InvalidArgument):
        requests.empty_timeout_s(seconds)


@pytest.mark.parametrize("people", [-1, 101])
def test_a_number_of_participants_out_of_range_is_rejected(people):
    with pytest.raises(InvalidArgument):
        requests.participants_max(people)
