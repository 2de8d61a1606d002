"""Validation of rate-limit requests; an error names the field."""

from __future__ import annotations

import pytest

from hocket.chassis.errors import InvalidArgument
from services.ratelimit.limits import spends
from services.ratelimit.limits.spends import Spend


def field_of(call) -> str:
    with pytest.raises(InvalidArgument) as caught:
        call()
    return next(iter(caught.value.fields))


def test_malformed_limit_name_is_refused_with_its_path():
    assert field_of(lambda: spends.parse_spend("spends[1]", "A", 1, "")) == "spends[1].limit"


@pytest.mark.parametrize("cost", [-1, 1_000_000_001])
def test_cost_out_of_range_is_refused(cost):
    assert field_of(lambda: spends.parse_spend("spend", "x", cost, "")) == "spend.cost"


@pytest.mark.parametrize("subject", ["x" * 129, "a\n"])
def test_malformed_subject_is_refused(subject):
    assert field_of(lambda: spends.parse_spend("", "x", 1, subject)) == "subject"


def test_cost_of_zero_means_one():
    assert spends.parse_spend("", "x", 0, "u") == Spend("x", 1, "u")


def test_check_must_hold_1_to_16_distinct_limits_and_subjects():
    assert field_of(lambda: spends.check_spends([])) == "spends"
    assert field_of(lambda: spends.check_spends([Spend(f"l{n}", 1, "") for n in range(17)])) == "spends"
    assert field_of(lambda: spends.check_spends([Spend("a", 1, ""), Spend("a", 2, "")])) == "spends[1]"
    spends.check_spends([Spend("a", 1, ""), Spend("a", 2, "u")])


def test_columns_must_have_the_same_length():
    assert spends.parse_columns(["a", "b"], [], []) == [Spend("a", 1, ""), Spend("b", 1, "")]
    assert spends.parse_columns(["a"], ["u"], [7]) == [Spend("a", 7, "u")]
    assert field_of(lambda: spends.parse_columns([], [], [])) == "limits"
    assert field_of(lambda: spends.parse_columns(["a"] * 1025, [], [])) == "limits"
    assert field_of(lambda: spends.parse_columns(["a", "b"], ["u"], [])) == "subjects"
    assert field_of(lambda: spends.parse_columns(["a", "b"], [], [1])) == "costs"
    assert field_of(lambda: spends.parse_columns(["a", "B"], [], [])) == "rows[1].limit"


@pytest.mark.parametrize("seconds", [0, 0.5, 86_401, -1])
def test_slot_ttl_must_be_a_second_to_a_day(seconds):
    assert field_of(lambda: spends.slot_ttl_s(seconds)) == "ttl"
    assert spends.slot_ttl_s(None) == 60


@pytest.mark.parametrize(("lease_id", "units", "field"), [("", 1, "lease_id"), ("a" * 32, -1, "units")])
def test_malformed_return_is_refused(lease_id, units, field):
    assert field_of(lambda: spends.check_return(lease_id, units)) == field


@pytest.mark.parametrize("units", [0, 1_000_001])
def test_lease_units_out_of_range_are_refused(units):
    assert field_of(lambda: spends.check_lease_units(units)) == "units"
