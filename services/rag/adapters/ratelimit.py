"""The tenant's query limit and its book of costs, at the ratelimit service."""

from __future__ import annotations

import structlog
from hocket.ratelimit.v1.ledger_pb2 import CostEvent, CostKind, CostOutcome

from hocket.chassis.errors import MeshError, ResourceExhausted
from hocket.client.ledger import CostRecorder
from hocket.client.limiter_metrics import limiter_unavailable
from hocket.client.ratelimit import RateLimitClient

LIMIT = "rag_queries"
# A search has a third of a second: a limiter that is slow must not take it.
_DECISION_TIMEOUT_S = 0.05
_OUTCOMES = {
    "ok": CostOutcome.COST_OUTCOME_OK,
    "cancelled": CostOutcome.COST_OUTCOME_CANCELLED,
    "failed": CostOutcome.COST_OUTCOME_FAILED,
}
_log = structlog.get_logger()


class RemoteQueryLimit:
    """Implements ports.QueryLimit."""

    def __init__(self, client: RateLimitClient) -> None:
        """Ask `client`, whose channel carries the token of the running RPC."""
        self._client = client

    async def spend(self) -> None:
        """As the port says."""
        try:
            await self._client.require(LIMIT, timeout_s=_DECISION_TIMEOUT_S)
        except MeshError as error:
            if isinstance(error, ResourceExhausted) and error.reason == "RATE_LIMITED":
                raise
            limiter_unavailable.labels("check").inc()
            _log.warning("query not limited", reason=error.reason, problem=error.message)


class NoQueryLimit:
    """Implements ports.QueryLimit where no ratelimit target is set."""

    async def spend(self) -> None:
        """Every query passes."""


class RecordedCosts:
    """Implements ports.CostBook."""

    def __init__(self, recorder: CostRecorder) -> None:
        """Book with `recorder`, which stays its owner's to close."""
        self._recorder = recorder

    def book(self, *, provider: str, model: str, tokens: int, cost_micro_usd: int, outcome: str) -> None:
        """As the port says."""
        event = CostEvent(
            kind=CostKind.COST_KIND_EMBEDDING,
            provider=provider,
            model=model,
            cost_micro_usd=cost_micro_usd,
            quantities={"input_tokens": tokens},
            outcome=_OUTCOMES[outcome],
        )
        self._recorder.record(event)
