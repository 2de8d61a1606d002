"""Parsing of turn reports from the data channel."""

from __future__ import annotations

import json

import pytest

from local.caller.turn_report import parse_turn_report


def test_missing_fields_are_none():
    turn = parse_turn_report(
        json.dumps({"turn_id": "t1", "heard": "hi", "answered": None, "route": {"tier": "simple"}})
    )
    assert turn is not None
    assert (turn.turn_id, turn.heard, turn.answered, turn.interrupted) == ("t1", "hi", "", False)
    assert turn.get("route", "tier") == "simple"
    assert turn.get("route", "tier", "name") is None
    assert turn.get("usage", "characters") is None


@pytest.mark.parametrize("message", [b"\xff", "{", "[]", "{}", '{"turn_id": 3}', "null"])
def test_invalid_messages_return_none(message):
    assert parse_turn_report(message) is None
