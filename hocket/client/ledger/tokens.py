"""Selects the token that records a tenant's cost events, which may be sent long after their RPC has ended."""

from __future__ import annotations

from hocket.chassis.auth import TokenMinter, expires_at_s
from hocket.chassis.channel import TokenSource
from hocket.chassis.identity import Identity
from hocket.client.ledger.journal import EventOrigin

TENANTS_MAX = 10_000


class TenantTokens:
    """Tokens by tenant: freshly minted ones where the service has the key, otherwise the newest one received.

    At most TENANTS_MAX tenants are remembered; beyond that the memory starts again empty, and an event is recorded with
    the token it was made with.
    """

    def __init__(self, minter: TokenMinter | None) -> None:
        """Create an empty store.

        Args:
            minter: Mints a token for every attempt. None reuses the tokens that callers sent.
        """
        self._minter = minter
        self._sources: dict[tuple[str, str], TokenSource] = {}
        # By tenant: the received token that expires last, and its expiry in Unix seconds.
        self._newest: dict[str, tuple[str, float]] = {}

    def remember(self, caller: Identity) -> None:
        """Keep the token of `caller` if it expires later than the one that is known for its tenant."""
        known_token, known_expiry_s = self._newest.get(caller.tenant_id, ("", 0.0))
        # The latest expiry wins, not the latest call: a long stream may present a token that has expired meanwhile.
        if caller.token != known_token and (expiry_s := expires_at_s(caller.token)) > known_expiry_s:
            if len(self._newest) >= TENANTS_MAX:
                self._newest.clear()
            self._newest[caller.tenant_id] = (caller.token, expiry_s)

    def token_for(self, origin: EventOrigin) -> str:
        """Return the token to record events of `origin` with."""
        if self._minter is None or not origin.tenant_id:
            return self._newest.get(origin.tenant_id, (origin.token, 0.0))[0]
        key = (origin.tenant_id, origin.tenant_tier)
        if key not in self._sources:
            if len(self._sources) >= TENANTS_MAX:
                self._sources.clear()
            self._sources[key] = self._minter.source(
                origin.tenant_id, tenant_tier=origin.tenant_tier, caller="cost-recorder"
            )
        return self._sources[key]()

    def discard(self, tenant_id: str, token: str) -> None:
        """Forget a refused token: its signing key may be revoked, so the tenant's next token replaces it."""
        known = self._newest.get(tenant_id)
        if known is not None and known[0] == token:
            del self._newest[tenant_id]
