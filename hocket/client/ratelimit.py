"""Ask what a tenant may spend, and book what it spent.

`RateLimitClient` decides, `LedgerClient` books and sums, `CostRecorder` books in the background so that no caller waits
for the book. Whoever holds a `MeshChannel` for these clients may name `IDEMPOTENT` when making it.
"""

from __future__ import annotations

from collections.abc import Sequence

from hocket.ratelimit.v1 import ratelimit_pb2_grpc
from hocket.ratelimit.v1.ratelimit_pb2 import (
    AcquireRequest,
    AcquireResponse,
    CheckRequest,
    CheckResponse,
    GetWaitTimeRequest,
    LeaseRequest,
    LeaseResponse,
    ReleaseRequest,
    ReturnRequest,
    Spend,
    Standing,
)

from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import ResourceExhausted, Unavailable
from hocket.chassis.status import mesh_errors
from hocket.client.ledger import LEDGER_SERVICE, CostRecorder, LedgerClient

__all__ = ["IDEMPOTENT", "CostRecorder", "LedgerClient", "RateLimitClient", "Spend", "Standing"]

LIMITS_SERVICE = "hocket.ratelimit.v1.RateLimitService"
# Sent again by gRPC without harm. Check is not among them: an answer lost on the way back would be spent twice.
IDEMPOTENT = (
    (LIMITS_SERVICE, "GetWaitTime"),
    (LIMITS_SERVICE, "Acquire"),
    (LIMITS_SERVICE, "Release"),
    (LEDGER_SERVICE, "RecordCosts"),
    (LEDGER_SERVICE, "GetCosts"),
)
# The service answers within 50 ms even when its Redis is gone; the rest is the network's.
DECISION_TIMEOUT_S = 0.25


class RateLimitClient:
    """Decisions about the tenant that the channel's token names."""

    def __init__(self, channel: MeshChannel) -> None:
        """Call through `channel`, which the caller made and closes."""
        self._channel = channel
        self._stub = ratelimit_pb2_grpc.RateLimitServiceStub(channel.channel)

    async def check(self, spends: Sequence[Spend], *, timeout_s: float = DECISION_TIMEOUT_S) -> CheckResponse:
        """Spend 1 to 16 costs, all of them or none; a denial is an answer, not an error."""
        try:
            with mesh_errors():
                return await self._stub.Check(CheckRequest(spends=spends), **self._channel.options(timeout_s))
        except ResourceExhausted as error:
            # The service itself has no room for the call; that is not the tenant's limit.
            raise Unavailable("the ratelimit service is overloaded", reason="OVERLOADED") from error

    async def require(
        self, limit: str, cost: int = 1, *, subject: str = "", timeout_s: float = DECISION_TIMEOUT_S
    ) -> None:
        """Spend `cost` units of one limit. Raises ResourceExhausted with the wait when they do not fit now."""
        await self.require_all([Spend(limit=limit, cost=cost, subject=subject)], timeout_s=timeout_s)

    async def require_all(self, spends: Sequence[Spend], *, timeout_s: float = DECISION_TIMEOUT_S) -> None:
        """Spend 1 to 16 costs, all or none. Raises ResourceExhausted for the first that does not fit, with its wait."""
        response = await self.check(spends, timeout_s=timeout_s)
        if not response.admitted:
            raise _exhausted(next(s for s in response.standings if not s.admitted))

    async def get_wait_time(
        self, limit: str, cost: int = 1, *, subject: str = "", timeout_s: float = DECISION_TIMEOUT_S
    ) -> Standing:
        """Where a limit stands for `cost` units, spending nothing; `wait` is unset when they can never be admitted."""
        request = GetWaitTimeRequest(spend=Spend(limit=limit, cost=cost, subject=subject))
        with mesh_errors():
            return (await self._stub.GetWaitTime(request, **self._channel.options(timeout_s))).standing

    async def lease(
        self, limit: str, units: int, *, subject: str = "", timeout_s: float = DECISION_TIMEOUT_S
    ) -> LeaseResponse:
        """Debit up to `units`, to be spent until `ttl` after this was called; hocket.client.ratelimit_lease does so."""
        request = LeaseRequest(limit=limit, units=units, subject=subject)
        with mesh_errors():
            return await self._stub.Lease(request, **self._channel.options(timeout_s))

    async def give_back(self, lease_id: str, units: int, *, timeout_s: float = DECISION_TIMEOUT_S) -> None:
        """End a lease, freeing the `units` of it that were not spent."""
        request = ReturnRequest(lease_id=lease_id, units=units)
        with mesh_errors():
            await self._stub.Return(request, **self._channel.options(timeout_s))

    async def acquire(
        self, limit: str, holder: str, *, ttl_s: float = 60, timeout_s: float = DECISION_TIMEOUT_S
    ) -> AcquireResponse:
        """Take, or renew, the slot of `holder` for `ttl_s` seconds (1 s to 24 h)."""
        request = AcquireRequest(limit=limit, holder=holder)
        request.ttl.FromMilliseconds(int(ttl_s * 1000))
        with mesh_errors():
            return await self._stub.Acquire(request, **self._channel.options(timeout_s))

    async def release(self, limit: str, holder: str, *, timeout_s: float = DECISION_TIMEOUT_S) -> None:
        """Give the slot of `holder` back; doing so twice is not an error."""
        with mesh_errors():
            await self._stub.Release(ReleaseRequest(limit=limit, holder=holder), **self._channel.options(timeout_s))


def _exhausted(standing: Standing) -> ResourceExhausted:
    metadata = {"limit": standing.limit, "capacityUnits": str(standing.capacity)}
    if not standing.HasField("wait"):
        return ResourceExhausted(f"{standing.limit}: the cost exceeds the whole limit; split it", metadata=metadata)
    wait_s = standing.wait.ToMilliseconds() / 1000
    return ResourceExhausted(
        f"{standing.limit}: {standing.capacity} units a window are spent; come back in {wait_s:.3f} s",
        metadata=metadata,
        retry_after_s=wait_s,
    )
