"""What callers ask for is well formed, or the field is named."""

from __future__ import annotations

import pytest

from hocket.chassis.errors import InvalidArgument
from services.ratelimit import spends
from services.ratelimit.spends import Spend


def field_of(call) -> str:
    with pytest.raises(InvalidArgument) as caught:
        call()
    return next(iter(caught.value.fields))


@pytest.mark.parametrize("name", ["", "A", "a b", "a-b", "x" * 65, "é", "a\n"])
def test_a_malformed_limit_name_is_named(name):
    assert field_of(lambda: spends.spend("spends[1]", name, 1, "")) == "spends[1].limit"


@pytest.mark.parametrize("cost", [-1, 1_000_000_001])
def test_a_cost_out_of_range_is_named(cost):
    assert field_of(lambda: spends.spend("spend", "x", cost, "")) == "spend.cost"


@pytest.mark.parametrize("subject", ["x" * 129, "é" * 65, "a\x00", "a\n"])
def test_a_malformed_subject_is_named(subject):
    assert field_of(lambda: spends.spend("", "x", 1, subject)) == "subject"


def test_a_cost_of_zero_means_one():
    assert spends.spend("", "x", 0, "u") == Spend("x", 1, "u")


def test_a_check_holds_1_to_16_different_buckets():
    assert field_of(lambda: spends.check_spends([])) == "spends"
    assert field_of(lambda: spends.check_spends([Spend(f"l{n}", 1, "") for n in range(17)])) == "spends"
    assert field_of(lambda: spends.check_spends([Spend("a", 1, ""), Spend("a", 2, "")])) == "spends[1]"
    spends.check_spends([Spend("a", 1, ""), Spend("a", 2, "u")])


def test_columns_have_one_length():
    assert spends.columns(["a", "b"], [], []) == [Spend("a", 1, ""), Spend("b", 1, "")]
    assert spends.columns(["a"], ["u"], [7]) == [Spend("a", 7, "u")]
    assert field_of(lambda: spends.columns([], [], [])) == "limits"
    assert field_of(lambda: spends.columns(["a"] * 1025, [], [])) == "limits"
    assert field_of(lambda: spends.columns(["a", "b"], ["u"], [])) == "subjects"
    assert field_of(lambda: spends.columns(["a", "b"], [], [1])) == "costs"
    assert field_of(lambda: spends.columns(["a", "B"], [], [])) == "rows[1].limit"


@pytest.mark.parametrize("seconds", [0, 0.5, 86_401, -1])
def test_a_slot_lives_between_a_second_and_a_day(seconds):
    assert field_of(lambda: spends.slot_ttl_s(seconds)) == "ttl"
    assert spends.slot_ttl_s(None) == 60


@pytest.mark.parametrize(("lease_id", "units", "field"), [("", 1, "lease_id"), ("a" * 32, -1, "units")])
def test_a_malformed_return_is_named(lease_id, units, field):
    assert field_of(lambda: spends.check_return(lease_id, units)) == field


@pytest.mark.parametrize("units", [0, 1_000_001])
def test_lease_units_out_of_range_are_named(units):
    assert field_of(lambda: spends.check_lease_units(units)) == "units"
