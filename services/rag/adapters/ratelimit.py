"""The tenant's query limit and its recorded costs, in the ratelimit service."""

from __future__ import annotations

import structlog
from hocket.ratelimit.v1.ledger_pb2 import CostEvent, CostKind, CostOutcome

from hocket.chassis.errors import MeshError, ResourceExhausted
from hocket.client.ledger import CostRecorder
from hocket.client.limiter_metrics import limiter_unavailable
from hocket.client.ratelimit import RateLimitClient

LIMIT = "rag_queries"
# A search has 0.3 s by default: a slow limiter must not use it up.
_DECISION_TIMEOUT_S = 0.05
_OUTCOMES = {
    "ok": CostOutcome.COST_OUTCOME_OK,
    "cancelled": CostOutcome.COST_OUTCOME_CANCELLED,
    "failed": CostOutcome.COST_OUTCOME_FAILED,
}
_log = structlog.get_logger()


class MeshQueryLimit:
    """Implements ports.QueryLimit with the ratelimit service."""

    def __init__(self, client: RateLimitClient) -> None:
        """Create the limit.

        Args:
            client: Client whose channel forwards the token of the running RPC.
        """
        self._client = client

    async def spend(self) -> None:
        """Spend one query. Raises ResourceExhausted if the limit is spent; other failures let the query pass."""
        try:
            await self._client.require(LIMIT, timeout_s=_DECISION_TIMEOUT_S)
        except MeshError as error:
            if isinstance(error, ResourceExhausted) and error.reason == "RATE_LIMITED":
                raise
            limiter_unavailable.labels("check").inc()
            _log.warning("query not limited: no decision from ratelimit", reason=error.reason, problem=error.message)


class NoQueryLimit:
    """Implements ports.QueryLimit without a ratelimit target."""

    async def spend(self) -> None:
        """Let every query pass."""


class MeshEmbeddingCosts:
    """Implements ports.EmbeddingCosts with the ledger of the ratelimit service."""

    def __init__(self, recorder: CostRecorder) -> None:
        """Record with `recorder`, which the caller closes."""
        self._recorder = recorder

    def record(self, *, provider: str, model: str, tokens: int, cost_micro_usd: int, outcome: str) -> None:
        """Queue one cost event for the tenant of the running RPC."""
        event = CostEvent(
            kind=CostKind.COST_KIND_EMBEDDING,
            provider=provider,
            model=model,
            cost_micro_usd=cost_micro_usd,
            quantities={"input_tokens": tokens},
            outcome=_OUTCOMES[outcome],
        )
        self._recorder.record(event)
