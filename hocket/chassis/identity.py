"""Who calls: the tenant, its tier and the caller of the RPC being served, from verified claims only."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from hocket.chassis.errors import PermissionDenied, Unauthenticated

TENANT_TIERS = ("free", "standard", "premium")


@dataclass(frozen=True, slots=True)
class Identity:
    """Verified claims. `token` is the bearer token itself, so that a call on the tenant's behalf carries it on."""

    tenant_id: str
    tenant_tier: str
    caller: str
    scopes: frozenset[str] = frozenset()
    token: str = ""

    def require_scope(self, scope: str) -> None:
        """Raise PermissionDenied unless the token carries `scope`."""
        if scope not in self.scopes:
            raise PermissionDenied(f"the token lacks the scope {scope!r}", reason="SCOPE_MISSING")


_current: ContextVar[Identity | None] = ContextVar("identity", default=None)


def bind(identity: Identity | None) -> None:
    """Make `identity` that of the RPC running in this task; the server's guard calls it."""
    _current.set(identity)


def current() -> Identity:
    """The caller of the RPC running in this task. Raises Unauthenticated outside of one."""
    identity = _current.get()
    if identity is None:
        raise Unauthenticated("no caller is bound to this call", reason="TOKEN_MISSING")
    return identity


def current_or_none() -> Identity | None:
    """As `current`, or None outside of an RPC."""
    return _current.get()
