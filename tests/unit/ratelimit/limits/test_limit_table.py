"""LimitTable selects limits by name and tier."""

from __future__ import annotations

import pytest

from services.ratelimit.errors import LimitNotFound
from services.ratelimit.limits.limit_table import LimitTable
from services.ratelimit.limits.rate_limits import RateLimit, SlotLimit

RATE, ROOMS = RateLimit("queries", 5, 1_000_000), SlotLimit("rooms", 2)
TABLE = LimitTable({"queries": {"free": RATE}}, {"rooms": {"free": ROOMS}})


def test_limits_are_found_by_name_and_tier():
    assert (TABLE.rate("queries", "free"), TABLE.slot("rooms", "free")) == (RATE, ROOMS)


@pytest.mark.parametrize(
    ("method", "name", "message"),
    [
        (TABLE.rate, "rooms", "use Acquire"),
        (TABLE.slot, "queries", "use Check"),
        (TABLE.rate, "unknown", "not a configured limit"),
        (TABLE.slot, "unknown", "not a configured limit"),
    ],
)
def test_error_names_the_rpc_for_a_limit_of_the_other_kind(method, name, message):
    with pytest.raises(LimitNotFound, match=message):
        method(name, "free")


def test_a_name_of_the_table_hides_the_default_of_either_kind():
    merged = LimitTable({"rooms": {"free": RATE}}, {}).with_defaults(TABLE)
    assert merged.rate("rooms", "free") == RATE
    assert "rooms" not in merged.slots
    assert merged.rate("queries", "free") == RATE
