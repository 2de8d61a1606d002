"""Decides whether an agent is dispatched to a room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.media_gateway.rooms.records import Dispatch, Participant


@dataclass(frozen=True, slots=True)
class DispatchRule:
    """Interval between dispatches to the same room.

    Attributes:
        grace_s: Seconds an agent has to arrive before another is dispatched; doubled by each unanswered dispatch.
        grace_s_max: Upper bound of the doubled interval, seconds.
    """

    grace_s: float
    grace_s_max: float


def needs_dispatch(
    rule: DispatchRule,
    now_s: float,
    participants: Sequence[Participant],
    dispatches: Sequence[Dispatch],
    *,
    unanswered: int,
) -> bool:
    """Return whether to dispatch an agent: none is in the room and no recent dispatch can still bring one.

    Participants decide, not job states: LiveKit reports the job of a killed agent as running
    (livekit/agents#1472).

    Args:
        rule: Interval between dispatches.
        now_s: Current time, seconds since the epoch.
        participants: Participants of the room.
        dispatches: Dispatches of this gateway's agent to the room.
        unanswered: Consecutive dispatches after which no agent joined.
    """
    if any(participant.is_agent for participant in participants):
        return False
    grace_s = min(rule.grace_s * 2 ** min(unanswered, 16), rule.grace_s_max)
    return all(now_s - dispatch.created_at_s >= grace_s for dispatch in dispatches)
