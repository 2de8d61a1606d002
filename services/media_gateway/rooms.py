"""Decides how rooms are named on LiveKit, what a request may ask for, and whether a room needs an agent."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from hocket.chassis.errors import invalid_field

EMPTY_TIMEOUT_S_DEFAULT = 300.0
EMPTY_TIMEOUT_S_MIN = 10.0
EMPTY_TIMEOUT_S_MAX = 86_400.0
PARTICIPANTS_DEFAULT = 10
PARTICIPANTS_MAX = 100
DISPLAY_NAME_BYTES_MAX = 128
# Two people are one to LiveKit when they share an identity, and the later pushes the earlier out. For the agent this
# is wanted: however many dispatches race, one agent is left.
AGENT_IDENTITY = "hocket-agent"
_SEPARATOR = "__"
_TIER_ASSUMED = "standard"
_ROOM = re.compile(r"[a-zA-Z0-9-][a-zA-Z0-9_-]{0,63}")
_IDENTITY = re.compile(r"[a-zA-Z0-9_.@-]{1,64}")


@dataclass(frozen=True, slots=True)
class Person:
    """A participant of a room; `is_agent` is what LiveKit says of its kind."""

    identity: str
    is_agent: bool


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A job asked for: `created_at_s` since the epoch; `metadata` is what the agent was given."""

    dispatch_id: str
    created_at_s: float
    metadata: str


@dataclass(frozen=True, slots=True)
class LiveRoom:
    """A room as LiveKit holds it; `livekit_room` carries the tenant, `created_at_s` is since the epoch."""

    livekit_room: str
    created_at_s: float
    metadata: str


@dataclass(frozen=True, slots=True)
class JobContext:
    """Whom an agent serves; travels as dispatch metadata, which only the agent sees."""

    tenant_id: str
    tenant_tier: str
    room: str
    user_id: str

    def to_json(self) -> str:
        """The dispatch metadata."""
        return json.dumps(
            {
                "tenant_id": self.tenant_id,
                "tenant_tier": self.tenant_tier,
                "room": self.room,
                "user_id": self.user_id,
            }
        )


def job_context(metadata: str) -> JobContext | None:
    """The context in dispatch metadata, or None when it is not one of ours."""
    try:
        read: Any = json.loads(metadata)
    except ValueError:
        return None
    if not isinstance(read, dict):
        return None
    fields = cast("dict[str, Any]", read)
    values = [fields.get(key) for key in ("tenant_id", "tenant_tier", "room", "user_id")]
    if not all(isinstance(value, str) and value for value in values):
        return None
    tenant_id, tenant_tier, room, user_id = (str(value) for value in values)
    return JobContext(tenant_id, tenant_tier, room, user_id)


def orders_for(owner: tuple[str, str], earlier: Sequence[JobContext], present: Sequence[str]) -> JobContext:
    """What an agent that follows another is told: the orders of the one before, for a person who is still present.

    Without earlier orders the tenant's tier is not known; the middle one is assumed.
    """
    tenant_id, room = owner
    for orders in earlier:
        if (orders.tenant_id, orders.room) == owner:
            return orders if orders.user_id in present else replace(orders, user_id=present[0])
    return JobContext(tenant_id, _TIER_ASSUMED, room, present[0])


def livekit_name(tenant_id: str, room: str) -> str:
    """The room's name on the LiveKit server. No other tenant and room give the same one (see `split_name`)."""
    return f"{tenant_id}{_SEPARATOR}{room}"


def split_name(livekit_room: str) -> tuple[str, str] | None:
    """(tenant, room) of a LiveKit room, or None for a room that is not ours.

    A room's name neither starts with an underscore nor holds two in a row, so the last "__" is the separator, whatever
    the tenant is called.
    """
    tenant_id, separator, room = livekit_room.rpartition(_SEPARATOR)
    return (tenant_id, room) if separator and tenant_id and is_room_name(room) else None


def is_room_name(name: str) -> bool:
    """Whether `name` may name a room within a tenant."""
    return _ROOM.fullmatch(name) is not None and _SEPARATOR not in name


def check_room_name(field: str, name: str) -> None:
    """Raise InvalidArgument for `field` unless `name` may name a room."""
    if not is_room_name(name):
        raise invalid_field(field, "must be 1 to 64 characters of [a-zA-Z0-9_-], not start with '_' and not hold '__'")


def check_identity(field: str, identity: str) -> None:
    """Raise InvalidArgument for `field` unless `identity` may name a person."""
    if not _IDENTITY.fullmatch(identity):
        raise invalid_field(field, "must be 1 to 64 characters of [a-zA-Z0-9_.@-]")
    if identity == AGENT_IDENTITY:
        raise invalid_field(field, f"{AGENT_IDENTITY!r} is the agent's; choose another")


def check_display_name(field: str, display_name: str) -> None:
    """Raise InvalidArgument for `field` when the name to show is too long."""
    if len(display_name.encode()) > DISPLAY_NAME_BYTES_MAX:
        raise invalid_field(field, f"must be at most {DISPLAY_NAME_BYTES_MAX} bytes")


def empty_timeout_s(wanted_s: float | None) -> float:
    """Seconds an empty room stays. Raises InvalidArgument out of range."""
    if wanted_s is None:
        return EMPTY_TIMEOUT_S_DEFAULT
    if not EMPTY_TIMEOUT_S_MIN <= wanted_s <= EMPTY_TIMEOUT_S_MAX:
        raise invalid_field("empty_timeout", "must be 10 s to 24 h")
    return wanted_s


def participants_max(wanted: int) -> int:
    """People allowed in. Raises InvalidArgument out of range."""
    if not 0 <= wanted <= PARTICIPANTS_MAX:
        raise invalid_field("max_participants", f"must be 1 to {PARTICIPANTS_MAX}, or 0 for {PARTICIPANTS_DEFAULT}")
    return wanted or PARTICIPANTS_DEFAULT


def room_metadata(tenant_id: str) -> str:
    """What everybody in the room may read: the tenant's id and nothing else."""
    return json.dumps({"tenant_id": tenant_id})


@dataclass(frozen=True, slots=True)
class DispatchRule:
    """When to ask for an agent anew: `grace_s` after the last dispatch, doubled by each vain one up to the maximum."""

    grace_s: float
    grace_s_max: float


def needs_dispatch(
    rule: DispatchRule, now_s: float, people: Sequence[Person], dispatches: Sequence[Dispatch], *, vain: int
) -> bool:
    """Whether an agent must be dispatched: people wait, none is there, and none is on its way.

    `vain` counts dispatches in a row that brought no agent. LiveKit lists a dead agent's job as running
    (livekit/agents#1472), so who is in the room counts and not what a job's state says.
    """
    if any(person.is_agent for person in people):
        return False
    grace_s = min(rule.grace_s * 2 ** min(vain, 16), rule.grace_s_max)
    return all(now_s - dispatch.created_at_s >= grace_s for dispatch in dispatches)
