"""Decides whether a job is accepted: whom it is for, whether this process stops or is full, and the tenant's slots."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hocket.chassis.auth import is_tenant_id
from hocket.chassis.identity import TENANT_TIERS
from services.media_gateway.rooms import JobContext, job_context, livekit_name


class Outcome(Enum):
    """What becomes of a job; the value labels the metric."""

    ACCEPTED = "accepted"
    MALFORMED = "malformed"
    DRAINING = "draining"
    FULL = "full"
    LIMITED = "limited"


@dataclass(frozen=True, slots=True)
class Slot:
    """A tenant's answer from ratelimit; `acquired` is None when ratelimit was away or is not used."""

    acquired: bool | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision. `terminate` tells LiveKit not to offer the job to anyone else."""

    outcome: Outcome
    terminate: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the job is taken."""
        return self.outcome is Outcome.ACCEPTED


def read_job(dispatch_metadata: str, livekit_room: str) -> JobContext | None:
    """Whom the job is for, or None when its metadata is not ours or names another room than the job's."""
    context = job_context(dispatch_metadata)
    if context is None or not is_tenant_id(context.tenant_id) or context.tenant_tier not in TENANT_TIERS:
        return None
    return context if livekit_name(context.tenant_id, context.room) == livekit_room else None


def load(active_rooms: int, rooms_max: int) -> float:
    """Load of this process, 0 to 1 and beyond; LiveKit offers no job at 1."""
    return active_rooms / rooms_max


def before_slot(context: JobContext | None, *, draining: bool, active_rooms: int, rooms_max: int) -> Verdict | None:
    """A refusal that needs no look at the tenant's slots, or None to go on."""
    if context is None:
        # Nobody else could serve it either.
        return Verdict(Outcome.MALFORMED, terminate=True)
    if draining:
        return Verdict(Outcome.DRAINING)
    if active_rooms >= rooms_max:
        return Verdict(Outcome.FULL)
    return None


def after_slot(slot: Slot) -> Verdict:
    """The rest of the decision. Without an answer from ratelimit the room is served (fail-open)."""
    if slot.acquired is False:
        return Verdict(Outcome.LIMITED, terminate=True)
    return Verdict(Outcome.ACCEPTED)
