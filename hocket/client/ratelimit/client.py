"""Client of hocket.ratelimit.v1.RateLimitService: one call per decision."""

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
from hocket.client.ledger import LEDGER_SERVICE

RATE_LIMIT_SERVICE = "hocket.ratelimit.v1.RateLimitService"
# Methods that gRPC may retry. Check is not among them: if only the response was lost, a retry would spend twice.
IDEMPOTENT = (
    (RATE_LIMIT_SERVICE, "GetWaitTime"),
    (RATE_LIMIT_SERVICE, "Acquire"),
    (RATE_LIMIT_SERVICE, "Release"),
    (LEDGER_SERVICE, "RecordCosts"),
    (LEDGER_SERVICE, "GetCosts"),
)
# The service answers within 50 ms even without its Redis; the rest is for the network.
DECISION_TIMEOUT_S = 0.25


class RateLimitClient:
    """Spends from the limits of the tenant that the channel's token names.

    Every method raises an error of hocket.chassis.errors: NotFound (reason LIMIT_NOT_FOUND) for a limit that is not
    configured, InvalidArgument for a wrong field, Unavailable or DeadlineExceeded without an answer. A caller that
    prefers to go on without a limit catches MeshError and lets ResourceExhausted pass.

    Example:
            async with MeshChannel("dns:///ratelimit:50051", token) as channel:
                limits = RateLimitClient(channel)
                await limits.require("llm_requests")                # ResourceExhausted with retry_after_s if spent

                slot = await limits.acquire("rooms", holder="room-42", ttl_s=60)
                if slot.acquired:
                    ...                                             # renew with acquire() before ttl_s is over
                    await limits.release("rooms", holder="room-42")
    """

    def __init__(self, channel: MeshChannel) -> None:
        """Create a client.

        Args:
            channel: Connection to the ratelimit service. The caller closes it.
        """
        self._channel = channel
        self._stub = ratelimit_pb2_grpc.RateLimitServiceStub(channel.channel)

    async def check(self, spends: Sequence[Spend], *, timeout_s: float = DECISION_TIMEOUT_S) -> CheckResponse:
        """Spend several costs, all of them or none.

        Args:
            spends: 1 to 16 costs, each of another limit and subject.
            timeout_s: Deadline of the call, in seconds.

        Returns:
            `admitted`, and the standing of each limit in the order of `spends`. A denial is a response, not an error.

        Raises:
            Unavailable: The service did not answer, or is overloaded (reason OVERLOADED).
        """
        try:
            with mesh_errors():
                return await self._stub.Check(CheckRequest(spends=spends), **self._channel.options(timeout_s))
        except ResourceExhausted as error:
            # The service refused the call for its own load; the tenant's limit was not decided.
            raise Unavailable("ratelimit is overloaded; retry with backoff", reason="OVERLOADED") from error

    async def require(
        self, limit: str, cost: int = 1, *, subject: str = "", timeout_s: float = DECISION_TIMEOUT_S
    ) -> None:
        """Spend from one limit, or raise.

        Args:
            limit: Name of the limit.
            cost: Units to spend, 1 or more.
            subject: Narrows the limit below the tenant, for instance a user id; "" for the tenant as a whole.
            timeout_s: Deadline of the call, in seconds.

        Raises:
            ResourceExhausted: The cost does not fit now; `retry_after_s` is the wait. Without it, the cost is larger
                than the whole limit.
        """
        await self.require_all([Spend(limit=limit, cost=cost, subject=subject)], timeout_s=timeout_s)

    async def require_all(self, spends: Sequence[Spend], *, timeout_s: float = DECISION_TIMEOUT_S) -> None:
        """Spend several costs, all of them or none, or raise.

        Args:
            spends: 1 to 16 costs, each of another limit and subject.
            timeout_s: Deadline of the call, in seconds.

        Raises:
            ResourceExhausted: A cost does not fit now; for the first such limit, as in `require`.
        """
        response = await self.check(spends, timeout_s=timeout_s)
        if not response.admitted:
            raise _exhausted(next(s for s in response.standings if not s.admitted))

    async def get_wait_time(
        self, limit: str, cost: int = 1, *, subject: str = "", timeout_s: float = DECISION_TIMEOUT_S
    ) -> Standing:
        """Return the standing of a limit for a cost, spending nothing.

        Args:
            limit: Name of the limit.
            cost: Units that would be spent, 1 or more.
            subject: As in `require`.
            timeout_s: Deadline of the call, in seconds.

        Returns:
            The standing; its `wait` is unset if the cost is larger than the whole limit.
        """
        request = GetWaitTimeRequest(spend=Spend(limit=limit, cost=cost, subject=subject))
        with mesh_errors():
            return (await self._stub.GetWaitTime(request, **self._channel.options(timeout_s))).standing

    async def lease(
        self, limit: str, units: int, *, subject: str = "", timeout_s: float = DECISION_TIMEOUT_S
    ) -> LeaseResponse:
        """Debit a block of units in advance, to spend without further calls. `LeasedLimits` does this for you.

        Args:
            limit: Name of a rate limit with the sliding-log algorithm.
            units: Units wanted, 1 to 1,000,000 and at least 1/1024 of the limit; fewer may be granted.
            subject: As in `require`.
            timeout_s: Deadline of the call, in seconds.

        Returns:
            The lease. Its units may be spent for `ttl` from the moment before this call; `units` is 0 if none is free.

        Raises:
            InvalidArgument: The limit is smooth or unlimited, or `units` is out of range.
        """
        request = LeaseRequest(limit=limit, units=units, subject=subject)
        with mesh_errors():
            return await self._stub.Lease(request, **self._channel.options(timeout_s))

    async def return_lease(self, lease_id: str, units: int, *, timeout_s: float = DECISION_TIMEOUT_S) -> None:
        """End a lease and free its unspent units.

        Args:
            lease_id: The lease.
            units: Units that were not spent, 0 or more.
            timeout_s: Deadline of the call, in seconds.

        Raises:
            NotFound: The lease ended or was returned before (reason LEASE_NOT_FOUND).
        """
        request = ReturnRequest(lease_id=lease_id, units=units)
        with mesh_errors():
            await self._stub.Return(request, **self._channel.options(timeout_s))

    async def acquire(
        self, limit: str, holder: str, *, ttl_s: float = 60, timeout_s: float = DECISION_TIMEOUT_S
    ) -> AcquireResponse:
        """Take a slot of a concurrency limit, or renew the one that `holder` has.

        Args:
            limit: Name of the concurrency limit, for instance "rooms".
            holder: Name of the holder, unique in the tenant, 1 to 256 bytes.
            ttl_s: Seconds until the slot ends unless it is renewed, 1 to 86,400.
            timeout_s: Deadline of the call, in seconds.

        Returns:
            Whether the holder has a slot, and how many are in use.
        """
        request = AcquireRequest(limit=limit, holder=holder)
        request.ttl.FromMilliseconds(int(ttl_s * 1000))
        with mesh_errors():
            return await self._stub.Acquire(request, **self._channel.options(timeout_s))

    async def release(self, limit: str, holder: str, *, timeout_s: float = DECISION_TIMEOUT_S) -> None:
        """Give the slot of `holder` back. Without a slot, nothing happens.

        Args:
            limit: Name of the concurrency limit.
            holder: Name of the holder.
            timeout_s: Deadline of the call, in seconds.
        """
        with mesh_errors():
            await self._stub.Release(ReleaseRequest(limit=limit, holder=holder), **self._channel.options(timeout_s))


def _exhausted(standing: Standing) -> ResourceExhausted:
    metadata = {"limit": standing.limit, "capacityUnits": str(standing.capacity)}
    if not standing.HasField("wait"):
        return ResourceExhausted(
            f"{standing.limit}: the cost exceeds the whole limit of {standing.capacity} units; split it",
            metadata=metadata,
        )
    wait_s = standing.wait.ToMilliseconds() / 1000
    return ResourceExhausted(
        f"{standing.limit}: the limit of {standing.capacity} units is spent; retry in {wait_s:.3f} s",
        metadata=metadata,
        retry_after_s=wait_s,
    )
