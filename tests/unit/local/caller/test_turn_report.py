"""What comes over a data channel is read without trust."""

from __future__ import annotations

import json

import pytest

from local.caller.turn_report import read_turn


def test_a_report_is_read_and_missing_parts_are_none():
    turn = read_turn(json.dumps({"turn_id": "t1", "heard": "hi", "answered": None, "route": {"tier": "simple"}}))
    assert turn is not None
    assert (turn.turn_id, turn.heard, turn.answered, turn.interrupted) == ("t1", "hi", "", False)
    assert turn.get("route", "tier") == "simple"
    assert turn.get("route", "tier", "name") is None
    assert turn.get("usage", "characters") is None


@pytest.mark.parametrize("message", [b"\xff", "{", "[]", "{}", '{"turn_id": 3}', "null"])
def test_what_is_not_a_report_is_none(message):
    assert read_turn(message) is None
