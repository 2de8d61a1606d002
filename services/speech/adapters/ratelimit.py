"""Limits and ledger over the ratelimit service."""

from __future__ import annotations

import structlog
from hocket.ratelimit.v1.ledger_pb2 import CostEvent, CostKind, CostOutcome

from hocket.chassis import identity
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import TokenSource, forwarded_token
from hocket.chassis.errors import MeshError, ResourceExhausted
from hocket.client.ledger import CostRecorder
from hocket.client.limiter_metrics import limiter_unavailable
from hocket.client.ratelimit import RateLimitClient
from services.speech import ports

_OUTCOMES = {
    ports.CostOutcome.OK: CostOutcome.COST_OUTCOME_OK,
    ports.CostOutcome.CANCELLED: CostOutcome.COST_OUTCOME_CANCELLED,
    ports.CostOutcome.FAILED: CostOutcome.COST_OUTCOME_FAILED,
}
_KINDS = {
    ports.STT_LIMIT: (CostKind.COST_KIND_STT, "audio_ms"),
    ports.TTS_LIMIT: (CostKind.COST_KIND_TTS, "characters"),
}
_log = structlog.get_logger()


def tenant_token(minter: TokenMinter | None) -> TokenSource:
    """Return a source of tokens for the tenant of the running RPC.

    A stream may last longer than the token of its RPC: with a minter each call has a fresh token.

    Args:
        minter: Signs tokens with the service's key; None forwards the token of the RPC.
    """
    if minter is None:
        return forwarded_token

    def token() -> str:
        caller = identity.current()
        return minter.mint(caller.tenant_id, tenant_tier=caller.tenant_tier, caller=caller.caller, ttl_s=60)

    return token


class MeshLimits:
    """`ports.Limits` over the ratelimit service; without an answer the call goes on and is counted."""

    def __init__(self, client: RateLimitClient | None) -> None:
        """Spend through `client`; None admits everything."""
        self._client = client

    async def spend(self, limit: str, cost: int) -> None:
        """Spend `cost` units of `limit`. Raises ResourceExhausted where fewer are left."""
        if self._client is None:
            return
        try:
            await self._client.require(limit, cost)
        except ResourceExhausted:
            raise
        except MeshError as error:
            limiter_unavailable.labels("check").inc()
            _log.warning("limit not checked", limit=limit, reason=error.reason)


class MeshLedger:
    """`ports.Ledger` over the ratelimit service, in the background."""

    def __init__(self, recorder: CostRecorder) -> None:
        """Record costs through `recorder`."""
        self._recorder = recorder

    def record(self, cost: ports.Cost) -> None:
        """Queue `cost` as a cost event of the running RPC's tenant."""
        kind, unit = _KINDS[cost.limit]
        self._recorder.record(
            CostEvent(
                kind=kind,
                provider=cost.price.provider,
                model=cost.price.model,
                cost_micro_usd=cost.cost_micro_usd,
                quantities={unit: cost.quantity},
                room=cost.room,
                price_row=cost.price.name,
                outcome=_OUTCOMES[cost.outcome],
            )
        )
