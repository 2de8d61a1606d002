"""When an agent is dispatched to a room."""

from __future__ import annotations

import pytest

from services.media_gateway.rooms.dispatch_rule import DispatchRule, needs_dispatch
from services.media_gateway.rooms.records import Dispatch, Participant

RULE = DispatchRule(grace_s=10, grace_s_max=60)
ANN, AGENT = Participant("ann", is_agent=False), Participant("hocket-agent", is_agent=True)


@pytest.mark.parametrize(
    ("participants", "ages_s", "unanswered", "expected"),
    [
        ([ANN], [], 0, True),
        ([], [], 0, True),  # on JoinRoom, before the person connects
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
def test_an_agent_is_dispatched_when_none_is_present_or_on_its_way(participants, ages_s, unanswered, expected):
    now_s = 1000.0
    dispatches = [Dispatch(f"d{age}", now_s - age, "") for age in ages_s]
    assert needs_dispatch(RULE, now_s, participants, dispatches, unanswered=unanswered) is expected
