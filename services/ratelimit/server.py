"""Servicers of RateLimitService and LedgerService: proto to domain, flow, domain to proto."""

# ruff: noqa: ARG002 - gRPC passes request and context to every method
from __future__ import annotations

from collections.abc import AsyncIterator

from hocket.ratelimit.v1 import ledger_pb2, ledger_pb2_grpc, ratelimit_pb2, ratelimit_pb2_grpc

from hocket.chassis import identity
from hocket.chassis.guard import Context
from services.ratelimit import wire
from services.ratelimit.flow import CostLedger, Limiter
from services.ratelimit.limits import spends


class RateLimitServicer(ratelimit_pb2_grpc.RateLimitServiceServicer):
    """hocket.ratelimit.v1.RateLimitService."""

    def __init__(self, limiter: Limiter) -> None:
        """Serve the decisions of `limiter`."""
        self._limiter = limiter

    async def Check(self, request: ratelimit_pb2.CheckRequest, context: Context) -> ratelimit_pb2.CheckResponse:
        """Spend from one or several limits, all or nothing."""
        requested = [wire.spend(f"spends[{index}]", one) for index, one in enumerate(request.spends)]
        return wire.check_response(await self._limiter.check(identity.current(), requested))

    async def CheckStream(
        self, request_iterator: AsyncIterator[ratelimit_pb2.CheckStreamRequest], context: Context
    ) -> AsyncIterator[ratelimit_pb2.CheckStreamResponse]:
        """Decide columnar batches, one after the other."""
        async for batch in request_iterator:
            rows = spends.parse_columns(batch.limits, batch.subjects, batch.costs)
            yield wire.rows_response(batch.batch_id, await self._limiter.check_rows(identity.current(), rows))

    async def GetWaitTime(
        self, request: ratelimit_pb2.GetWaitTimeRequest, context: Context
    ) -> ratelimit_pb2.GetWaitTimeResponse:
        """Return the wait until a cost fits, spending nothing."""
        decision = await self._limiter.wait_time(identity.current(), wire.spend("spend", request.spend))
        return ratelimit_pb2.GetWaitTimeResponse(
            standing=wire.standing(decision.standings[0]), degraded=decision.degraded
        )

    async def Lease(self, request: ratelimit_pb2.LeaseRequest, context: Context) -> ratelimit_pb2.LeaseResponse:
        """Debit a block of units in advance."""
        spends.check_lease_units(request.units)
        requested = spends.parse_spend("", request.limit, request.units, request.subject)
        return wire.lease_response(await self._limiter.lease(identity.current(), requested))

    async def Return(self, request: ratelimit_pb2.ReturnRequest, context: Context) -> ratelimit_pb2.ReturnResponse:
        """End a lease and free its unspent units."""
        await self._limiter.return_lease(identity.current(), request.lease_id, request.units)
        return ratelimit_pb2.ReturnResponse()

    async def Acquire(self, request: ratelimit_pb2.AcquireRequest, context: Context) -> ratelimit_pb2.AcquireResponse:
        """Take or renew a slot."""
        decision = await self._limiter.acquire(identity.current(), request.limit, request.holder, wire.ttl_s(request))
        return wire.acquire_response(decision)

    async def Release(self, request: ratelimit_pb2.ReleaseRequest, context: Context) -> ratelimit_pb2.ReleaseResponse:
        """Release a slot."""
        await self._limiter.release(identity.current(), request.limit, request.holder)
        return ratelimit_pb2.ReleaseResponse()


class LedgerServicer(ledger_pb2_grpc.LedgerServiceServicer):
    """hocket.ratelimit.v1.LedgerService."""

    def __init__(self, costs: CostLedger) -> None:
        """Serve the ledger `costs`."""
        self._costs = costs

    async def RecordCosts(
        self, request: ledger_pb2.RecordCostsRequest, context: Context
    ) -> ledger_pb2.RecordCostsResponse:
        """Record cost events of the caller's tenant."""
        events = wire.cost_events(request.events)
        recorded, duplicates = await self._costs.record(identity.current(), events)
        return ledger_pb2.RecordCostsResponse(recorded=recorded, duplicates=duplicates)

    async def GetCosts(self, request: ledger_pb2.GetCostsRequest, context: Context) -> ledger_pb2.GetCostsResponse:
        """Sum the cost events of the caller's tenant."""
        return wire.costs_response(await self._costs.sums(identity.current(), wire.period(request)))
