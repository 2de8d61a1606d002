"""Decides whether the worker accepts a job: valid metadata, draining, capacity, the tenant's room slots."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hocket.chassis.auth import is_tenant_id
from hocket.chassis.identity import TENANT_TIERS
from services.media_gateway.rooms.job_context import JobContext, parse_job_context
from services.media_gateway.rooms.names import livekit_name


class JobOutcome(Enum):
    """Outcome of a job offer; the value is the metric's label."""

    ACCEPTED = "accepted"
    MALFORMED = "malformed"
    DRAINING = "draining"
    FULL = "full"
    LIMITED = "limited"


@dataclass(frozen=True, slots=True)
class SlotAnswer:
    """Answer of ratelimit to a request for a room slot.

    Attributes:
        acquired: Whether the tenant got the slot; None if ratelimit did not answer or is not configured.
    """

    acquired: bool | None


@dataclass(frozen=True, slots=True)
class JobDecision:
    """Decision on a job offer.

    Attributes:
        outcome: Acceptance, or the reason of the refusal.
        terminate: Whether LiveKit must not offer the job to another worker.
    """

    outcome: JobOutcome
    terminate: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the worker takes the job."""
        return self.outcome is JobOutcome.ACCEPTED


def read_job(dispatch_metadata: str, livekit_room: str) -> JobContext | None:
    """Parse and check the metadata of a job.

    Args:
        dispatch_metadata: Metadata of the dispatch.
        livekit_room: Name of the job's room on the LiveKit server.

    Returns:
        The context, or None if the metadata is malformed, names an invalid tenant or tier, or names another room.
    """
    context = parse_job_context(dispatch_metadata)
    if context is None or not is_tenant_id(context.tenant_id) or context.tenant_tier not in TENANT_TIERS:
        return None
    return context if livekit_name(context.tenant_id, context.room) == livekit_room else None


def load(active_rooms: int, rooms_max: int) -> float:
    """Return the worker's load, from 0; LiveKit offers it no job from 1 on."""
    return active_rooms / rooms_max


def refuse_before_slot(
    context: JobContext | None, *, draining: bool, active_rooms: int, rooms_max: int
) -> JobDecision | None:
    """Return a refusal that does not depend on the tenant's slots, or None.

    Args:
        context: Result of `read_job`.
        draining: Whether the worker is stopping.
        active_rooms: Rooms this worker serves now.
        rooms_max: Rooms this worker may serve.
    """
    if context is None:
        # No other worker could serve the job either.
        return JobDecision(JobOutcome.MALFORMED, terminate=True)
    if draining:
        return JobDecision(JobOutcome.DRAINING)
    if active_rooms >= rooms_max:
        return JobDecision(JobOutcome.FULL)
    return None


def decide_by_slot(answer: SlotAnswer) -> JobDecision:
    """Return the decision once ratelimit was asked. Fail-open: without an answer the job is accepted."""
    if answer.acquired is False:
        return JobDecision(JobOutcome.LIMITED, terminate=True)
    return JobDecision(JobOutcome.ACCEPTED)
