"""Validation of cost events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hocket.chassis.errors import InvalidArgument
from services.ratelimit.ledger.cost_events import CostEvent, check_events

NOW = datetime(2026, 11, 22, tzinfo=UTC)
GOOD = CostEvent(
    event_id="0192d3a4-0000-7000-8000-000000000001",
    occurred_at=NOW,
    kind="llm",
    provider="anthropic",
    model="sonnet",
    cost_micro_usd=12,
    quantities={"input_tokens": 5},
    room="r",
    turn_id="t",
    tier="smart",
    price_row="sonnet@2026-11-01",
    speculative=False,
    outcome="ok",
)


def test_complete_event_is_accepted():
    check_events([GOOD], NOW)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"event_id": ""}, "event_id"),
        ({"event_id": "{0192d3a4-0000-7000-8000-000000000001}"}, "event_id"),
        ({"event_id": "0192d3a4000070008000000000000001"}, "event_id"),
        ({"occurred_at": None}, "occurred_at"),
        ({"occurred_at": NOW + timedelta(days=2)}, "occurred_at"),
        ({"occurred_at": datetime(2019, 1, 1, tzinfo=UTC)}, "occurred_at"),
        ({"kind": ""}, "kind"),
        ({"outcome": ""}, "outcome"),
        ({"provider": ""}, "provider"),
        ({"provider": "x" * 65}, "provider"),
        ({"model": ""}, "model"),
        ({"model": "a\x00b"}, "model"),
        ({"room": "x" * 257}, "room"),
        ({"turn_id": "x" * 129}, "turn_id"),
        ({"tier": "x" * 65}, "tier"),
        ({"price_row": "x" * 129}, "price_row"),
        ({"cost_micro_usd": -1}, "cost_micro_usd"),
        ({"cost_micro_usd": 10**13}, "cost_micro_usd"),
        ({"quantities": {f"q{n}": 1 for n in range(17)}}, "quantities"),
        ({"quantities": {"Tokens": 1}}, "quantities"),
        ({"quantities": {"tokens": -1}}, "quantities.tokens"),
    ],
)
def test_error_names_the_malformed_field(changes, field):
    with pytest.raises(InvalidArgument) as caught:
        check_events([GOOD, replace(GOOD, **changes)], NOW)
    assert list(caught.value.fields) == [f"events[1].{field}"]


@pytest.mark.parametrize("count", [0, 1001])
def test_request_must_hold_1_to_1000_events(count):
    with pytest.raises(InvalidArgument) as caught:
        check_events([GOOD] * count, NOW)
    assert list(caught.value.fields) == ["events"]
