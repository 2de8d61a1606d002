"""Identity of the running RPC: tenant, tier and caller, from verified claims only."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from hocket.chassis.errors import PermissionDenied, Unauthenticated

TENANT_TIERS = ("free", "standard", "premium")


@dataclass(frozen=True, slots=True)
class Identity:
    """Verified claims of a token; `token` is the bearer token itself, for calls on behalf of the tenant."""

    tenant_id: str
    tenant_tier: str
    caller: str
    scopes: frozenset[str] = frozenset()
    token: str = ""

    def require_scope(self, scope: str) -> None:
        """Raise PermissionDenied (SCOPE_MISSING) unless the token carries `scope`."""
        if scope not in self.scopes:
            raise PermissionDenied(f"the token lacks the scope {scope!r}; mint one with it", reason="SCOPE_MISSING")


_current: ContextVar[Identity | None] = ContextVar("identity", default=None)


def bind(identity: Identity | None) -> None:
    """Set the identity of the RPC in this task; the interceptor calls it. None clears it."""
    _current.set(identity)


def current() -> Identity:
    """Return the identity of the running RPC. Raises Unauthenticated (TOKEN_MISSING) outside of one."""
    identity = _current.get()
    if identity is None:
        raise Unauthenticated(
            "no identity is bound to this task; call it while an RPC is served", reason="TOKEN_MISSING"
        )
    return identity


def current_or_none() -> Identity | None:
    """Return the identity of the running RPC; None outside of one."""
    return _current.get()
