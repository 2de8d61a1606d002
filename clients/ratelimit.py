"""Ask what a tenant may spend, and book what it spent.

`RateLimitClient` decides, `LedgerClient` books and sums, `CostRecorder` books in the background so that no caller waits
for the book. Whoever holds a `MeshChannel` for these clients may name `IDEMPOTENT` when making it.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog
from hocket.ratelimit.v1 import ledger_pb2_grpc, ratelimit_pb2_grpc
from hocket.ratelimit.v1.ledger_pb2 import (
    CostEvent,
    GetCostsRequest,
    GetCostsResponse,
    RecordCostsRequest,
    RecordCostsResponse,
)
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

from chassis import identity
from chassis.channel import ClientTls, MeshChannel
from chassis.errors import (
    InvalidArgument,
    MeshError,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unimplemented,
)
from chassis.status import mesh_errors
from clients.cost_journal import CostJournal

LIMITS_SERVICE = "hocket.ratelimit.v1.RateLimitService"
LEDGER_SERVICE = "hocket.ratelimit.v1.LedgerService"
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
BOOKING_TIMEOUT_S = 5.0
BATCH_EVENTS_MAX = 500  # half of what the contract allows in one request
# Errors that the same events would meet again.
_FINAL = (InvalidArgument, Unauthenticated, PermissionDenied, Unimplemented)
_log = structlog.get_logger()


class RateLimitClient:
    """Decisions about the tenant that the channel's token names."""

    def __init__(self, channel: MeshChannel) -> None:
        """Call through `channel`, which the caller made and closes."""
        self._channel = channel
        self._stub = ratelimit_pb2_grpc.RateLimitServiceStub(channel.channel)

    async def check(self, spends: Sequence[Spend], *, timeout_s: float = DECISION_TIMEOUT_S) -> CheckResponse:
        """Spend 1 to 16 costs, all of them or none; a denial is an answer, not an error."""
        with mesh_errors():
            return await self._stub.Check(CheckRequest(spends=spends), **self._channel.options(timeout_s))

    async def require(
        self, limit: str, cost: int = 1, *, subject: str = "", timeout_s: float = DECISION_TIMEOUT_S
    ) -> None:
        """Spend `cost` units of one limit. Raises ResourceExhausted with the wait when they do not fit now."""
        response = await self.check([Spend(limit=limit, cost=cost, subject=subject)], timeout_s=timeout_s)
        if not response.admitted:
            raise _exhausted(response.standings[0])

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
        """Debit up to `units`, to be spent until `ttl` after this was called; clients.ratelimit_lease does so."""
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


class LedgerClient:
    """The book of the tenant that the channel's token names."""

    def __init__(self, channel: MeshChannel) -> None:
        """Call through `channel`, which the caller made and closes."""
        self._channel = channel
        self._stub = ledger_pb2_grpc.LedgerServiceStub(channel.channel)

    async def record_costs(
        self, events: Iterable[CostEvent], *, timeout_s: float = BOOKING_TIMEOUT_S
    ) -> RecordCostsResponse:
        """Book 1 to 1000 events; when this returns they are durable. Sending them again changes nothing."""
        with mesh_errors():
            return await self._stub.RecordCosts(RecordCostsRequest(events=events), **self._channel.options(timeout_s))

    async def get_costs(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        room: str = "",
        timeout_s: float = BOOKING_TIMEOUT_S,
    ) -> GetCostsResponse:
        """Sums over [start, end), both with a time zone; None for no bound. `room` narrows to one room."""
        request = GetCostsRequest(room=room)
        if start is not None:
            request.start_time.FromDatetime(start)
        if end is not None:
            request.end_time.FromDatetime(end)
        with mesh_errors():
            return await self._stub.GetCosts(request, **self._channel.options(timeout_s))


class CostRecorder:
    """Books cost events behind the caller's back, each with the token of its own tenant, until they are durable.

    A bounded queue; batches of one tenant; retries with the same event ids, so nothing is booked twice. With a journal
    file the queue outlives the process, and what a start finds in it is booked first. What cannot be booked (a refused
    event, a full queue, without a journal also a service gone for longer than the drain) is counted in `lost` and
    logged whole, since it is money. Make it in the event loop that uses it.
    """

    def __init__(
        self,
        target: str | None,
        *,
        tls: ClientTls | None = None,
        journal_file: Path | None = None,
        events_max: int = 10_000,
        linger_s: float = 0.2,
        drain_s: float = 5.0,
        retry_min_s: float = 0.1,
        retry_max_s: float = 5.0,
    ) -> None:
        """Book at the ratelimit service `target`; None books nothing and says so once.

        `linger_s` is how long an event may wait for company in its batch, `drain_s` how long `close` goes on trying.
        """
        self._target = target
        self._events_max = events_max
        self._linger_s = linger_s
        self._drain_s = drain_s
        self._retry_s = (retry_min_s, retry_max_s)
        self._token = ""
        self._channel = MeshChannel(target, lambda: self._token, tls=tls) if target else None
        self._queue: deque[tuple[str, CostEvent]] = deque()
        self._in_flight = 0
        self._arrived = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._skipped = False
        self.booked = 0
        self.lost = 0
        self._journal = CostJournal(journal_file) if journal_file and target else None
        if self._journal and (found := self._journal.pending()):
            _log.info("booking costs of an earlier run", events=len(found))
            self._queue.extend(found)
            self._start()

    @property
    def pending(self) -> int:
        """Events not yet durable."""
        return len(self._queue) + self._in_flight

    def record(self, event: CostEvent, *, token: str | None = None) -> bool:
        """Queue `event` for the tenant of `token` (None: of the RPC being served); False when it was lost.

        Never waits. An empty event_id becomes a new one, an unset occurred_at becomes now.
        """
        if self._channel is None:
            if not self._skipped:
                self._skipped = True
                _log.warning("costs are not booked: no ratelimit target is set")
            return False
        booked = CostEvent()
        booked.CopyFrom(event)
        booked.event_id = event.event_id or str(uuid.uuid4())
        if not booked.HasField("occurred_at"):
            booked.occurred_at.GetCurrentTime()
        if self._closing.is_set() or self.pending >= self._events_max:
            self._lose([booked], "closed" if self._closing.is_set() else "the queue is full")
            return False
        held = (identity.current().token if token is None else token, booked)
        if self._journal is not None:
            try:
                self._journal.add(*held)
            except OSError as error:
                # Booked all the same, as long as this process lives.
                _log.exception("cost event not in the journal", event_id=booked.event_id, problem=str(error))
        self._queue.append(held)
        self._start()
        return True

    def _start(self) -> None:
        self._arrived.set()
        if self._task is None:
            # In a context of its own: the deadline of the RPC being served must not end the booking.
            self._task = asyncio.create_task(self._run(), name="cost recorder", context=contextvars.Context())

    async def close(self) -> None:
        """Book what is queued, for at most the drain time, then end. What remains is in the journal, or lost."""
        self._closing.set()
        self._arrived.set()
        if self._task is not None:
            try:
                await asyncio.wait_for(self._task, self._drain_s)
            except TimeoutError:
                if self._journal is None:
                    self._lose([event for _, event in self._queue], "the service did not answer before the drain ended")
                    self._queue.clear()
            self._task = None
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        if self._channel is not None:
            await self._channel.close()

    async def __aenter__(self) -> Self:
        """Use as `async with`."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain and close."""
        await self.close()

    async def _run(self) -> None:
        retry_s = self._retry_s[0]
        while self._queue or not self._closing.is_set():
            if not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
                await self._pause(self._linger_s)
                continue
            if await self._book(*self._take_batch()):
                retry_s = self._retry_s[0]
            else:
                await self._back_off(retry_s * random.uniform(0.5, 1.0))
                retry_s = min(2 * retry_s, self._retry_s[1])

    async def _back_off(self, seconds: float) -> None:
        """Sleep; once closing has begun, briefly, so that the drain tries often."""
        if self._closing.is_set():
            await asyncio.sleep(self._retry_s[0])
        else:
            await self._pause(seconds)

    async def _pause(self, seconds: float) -> None:
        """Sleep, or less when closing begins."""
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return

    def _take_batch(self) -> tuple[str, list[CostEvent]]:
        """The oldest events that share the token of the oldest; the others keep their order."""
        token = self._queue[0][0]
        batch: list[CostEvent] = []
        others: deque[tuple[str, CostEvent]] = deque()
        while self._queue and len(batch) < BATCH_EVENTS_MAX:
            held = self._queue.popleft()
            if held[0] == token:
                batch.append(held[1])
            else:
                others.append(held)
        others.extend(self._queue)
        self._queue = others
        return token, batch

    async def _book(self, token: str, batch: list[CostEvent]) -> bool:
        """Send one batch; False when it went back to the end of the queue."""
        assert self._channel is not None  # noqa: S101 - without a channel nothing is queued
        self._in_flight += len(batch)
        try:
            self._token = token
            # Its own deadline: the RPC that recorded the event may long be over.
            await LedgerClient(self._channel).record_costs(batch)
            self.booked += len(batch)
            self._settle(batch)
        except InvalidArgument as error:
            if len(batch) > 1:
                # One wrong event must not take the rest with it: halve until it stands alone.
                middle = len(batch) // 2
                first = await self._book(token, batch[:middle])
                return await self._book(token, batch[middle:]) and first
            self._lose(batch, error.message)
        except _FINAL as error:
            self._lose(batch, error.message)
        except MeshError as error:
            _log.warning("costs not booked yet", events=len(batch), reason=error.reason, problem=error.message)
            self._queue.extend((token, event) for event in batch)
            return False
        except asyncio.CancelledError:
            self._queue.extend((token, event) for event in batch)
            raise
        finally:
            self._in_flight -= len(batch)
        return True

    def _lose(self, events: list[CostEvent], why: str) -> None:
        self.lost += len(events)
        self._settle(events)
        for event in events:
            # No content of users is in it; with this line the book can be mended by hand.
            _log.error("cost event lost", why=why, event_hex=event.SerializeToString().hex(), event_id=event.event_id)

    def _settle(self, events: list[CostEvent]) -> None:
        if self._journal is not None:
            try:
                self._journal.settle(event.event_id for event in events)
            except OSError as error:
                # The next start sends them again, and the book knows their ids.
                _log.exception("cost journal not written", problem=str(error))
