"""Job context: the tenant, room and user an agent serves, carried as dispatch metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

# The tier of a tenant is known only from a token; a room found by the sweep has none. The middle tier is assumed.
_TIER_ASSUMED = "standard"


@dataclass(frozen=True, slots=True)
class JobContext:
    """The tenant, room and user an agent serves.

    Attributes:
        tenant_id: Tenant that owns the room.
        tenant_tier: Tier of the tenant, one of `hocket.chassis.identity.TENANT_TIERS`.
        room: Name of the room within the tenant.
        user_id: Identity of the participant the agent was dispatched for.
    """

    tenant_id: str
    tenant_tier: str
    room: str
    user_id: str

    def to_json(self) -> str:
        """Return the context as dispatch metadata."""
        return json.dumps(
            {
                "tenant_id": self.tenant_id,
                "tenant_tier": self.tenant_tier,
                "room": self.room,
                "user_id": self.user_id,
            }
        )


def parse_job_context(metadata: str) -> JobContext | None:
    """Parse dispatch metadata.

    Args:
        metadata: Dispatch metadata of any origin.

    Returns:
        The context, or None unless `metadata` is a JSON object with all four fields as non-empty strings.
    """
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


def replacement_context(owner: tuple[str, str], earlier: Sequence[JobContext], present: Sequence[str]) -> JobContext:
    """Return the context for an agent that replaces another one.

    Args:
        owner: Tenant id and room name.
        earlier: Contexts of the room's dispatches so far; those of other rooms are ignored.
        present: Identities of the people in the room, at least one.

    Returns:
        The earlier context, with its user replaced by one who is present if that user has left. Without an earlier
        context the tenant's tier is unknown, and `standard` is assumed.
    """
    tenant_id, room = owner
    for context in earlier:
        if (context.tenant_id, context.room) == owner:
            return context if context.user_id in present else replace(context, user_id=present[0])
    return JobContext(tenant_id, _TIER_ASSUMED, room, present[0])
