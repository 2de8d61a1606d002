"""Book what a tenant spent: `LedgerClient` books and sums, `CostRecorder` books so that no caller waits for it."""

from __future__ import annotations

import asyncio
import contextvars
import random
import uuid
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog
from hocket.ratelimit.v1 import ledger_pb2_grpc
from hocket.ratelimit.v1.ledger_pb2 import (
    CostEvent,
    GetCostsRequest,
    GetCostsResponse,
    RecordCostsRequest,
    RecordCostsResponse,
)

from hocket.chassis import identity
from hocket.chassis.auth import TokenMinter, expires_at_s
from hocket.chassis.channel import ClientTls, MeshChannel, TokenSource
from hocket.chassis.errors import InvalidArgument, MeshError, PermissionDenied, Unauthenticated, Unimplemented
from hocket.chassis.status import mesh_errors
from hocket.client.cost_journal import CostJournal, Origin

LEDGER_SERVICE = "hocket.ratelimit.v1.LedgerService"
BOOKING_TIMEOUT_S = 5.0
BATCH_EVENTS_MAX = 500  # half of what the contract allows in one request
TENANTS_MAX = 10_000  # whose tokens are kept
# Not the events are wrong but who brings them, or to whom; a key or an address that is mended lets them pass.
_REFUSED = (Unauthenticated, PermissionDenied, Unimplemented)
_log = structlog.get_logger()


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
    """Books cost events behind the caller's back, each for its own tenant, until they are durable.

    A bounded queue; batches of one tenant; retries with the same event ids, so nothing is booked twice. With a journal
    file the queue outlives the process, and what a start finds in it is booked first. What cannot be booked (a wrong
    event, a full queue, without a journal also a service gone for longer than the drain) is counted in `lost` and
    logged whole, since it is money. Events whose token is refused stand aside, hold nobody up, and are tried again.
    Make it in the event loop that uses it.

    A stream may outlive its token, and an outage any token: a service that has the key gives a minter, and every
    attempt then has a fresh token of the tenant. Without one an event is booked with the newest token that its tenant
    has shown here, so that what had to wait is booked when the tenant next calls.
    """

    def __init__(
        self,
        target: str | None,
        *,
        tls: ClientTls | None = None,
        minter: TokenMinter | None = None,
        journal_file: Path | None = None,
        events_max: int = 10_000,
        linger_s: float = 0.2,
        drain_s: float = 5.0,
        retry_min_s: float = 0.1,
        retry_max_s: float = 5.0,
        refused_retry_s: float = 60.0,
    ) -> None:
        """Book at the ratelimit service `target`; None books nothing and says so once.

        `linger_s` is how long an event may wait for company in its batch, `drain_s` how long `close` goes on trying,
        `refused_retry_s` how long events stand aside whose token was refused.
        """
        self._target = target
        self._events_max = events_max
        self._linger_s = linger_s
        self._drain_s = drain_s
        self._retry_s = (retry_min_s, retry_max_s)
        self._minter = minter
        self._sources: dict[tuple[str, str], TokenSource] = {}
        # The token of each tenant that ends last, and when it does (Unix seconds).
        self._newest: dict[str, tuple[str, float]] = {}
        self._token = ""
        self._channel = MeshChannel(target, lambda: self._token, tls=tls) if target else None
        self._queue: deque[tuple[Origin, CostEvent]] = deque()
        self._aside: deque[tuple[Origin, CostEvent]] = deque()
        self._refused_retry_s = refused_retry_s
        self._bringing_back: asyncio.TimerHandle | None = None
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
        return len(self._queue) + self._in_flight + len(self._aside)

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
        if self._closing.is_set() or len(self._queue) + self._in_flight >= self._events_max:
            self._lose([booked], "closed" if self._closing.is_set() else "the queue is full")
            return False
        held = (self._origin() if token is None else Origin(token), booked)
        if self._journal is not None:
            try:
                self._journal.add(*held)
            except OSError as error:
                # Booked all the same, as long as this process lives. Without a traceback: a caller's own logging may
                # print its variables, and a token is among them.
                _log.warning("cost event not in the journal", event_id=booked.event_id, problem=str(error))
        self._queue.append(held)
        self._start()
        return True

    def _origin(self) -> Origin:
        caller = identity.current()
        known = self._newest.get(caller.tenant_id, ("", 0.0))
        # Not the one seen last: that may be of a stream that has outlived it.
        if caller.token != known[0] and (ends_at_s := expires_at_s(caller.token)) > known[1]:
            if len(self._newest) >= TENANTS_MAX:
                self._newest.clear()
            self._newest[caller.tenant_id] = (caller.token, ends_at_s)
        return Origin(caller.token, caller.tenant_id, caller.tenant_tier)

    def _start(self) -> None:
        self._arrived.set()
        if self._task is None or self._task.done():
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
        if self._bringing_back is not None:
            self._bringing_back.cancel()
        if self._journal is None:
            self._lose([event for _, event in self._aside], "its token was refused")
            self._aside.clear()
        else:
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

    def _take_batch(self) -> tuple[Origin, list[CostEvent]]:
        """The oldest events that one token can book; the others keep their order."""
        origin = self._queue[0][0]
        batch: list[CostEvent] = []
        others: deque[tuple[Origin, CostEvent]] = deque()
        while self._queue and len(batch) < BATCH_EVENTS_MAX:
            held = self._queue.popleft()
            if self._together(held[0], origin):
                batch.append(held[1])
            else:
                others.append(held)
        others.extend(self._queue)
        self._queue = others
        return origin, batch

    def _together(self, one: Origin, other: Origin) -> bool:
        if one.tenant_id:
            return (one.tenant_id, one.tenant_tier) == (other.tenant_id, other.tenant_tier)
        return one.token == other.token

    def _token_of(self, origin: Origin) -> str:
        if self._minter is None or not origin.tenant_id:
            return self._newest.get(origin.tenant_id, (origin.token, 0.0))[0]
        key = (origin.tenant_id, origin.tenant_tier)
        if key not in self._sources:
            if len(self._sources) >= TENANTS_MAX:
                self._sources.clear()
            tier = origin.tenant_tier
            self._sources[key] = self._minter.source(origin.tenant_id, tenant_tier=tier, caller="cost-recorder")
        return self._sources[key]()

    async def _book(self, origin: Origin, batch: list[CostEvent]) -> bool:
        """Send one batch; False when it went back to the end of the queue."""
        assert self._channel is not None  # noqa: S101 - without a channel nothing is queued
        self._in_flight += len(batch)
        try:
            self._token = self._token_of(origin)
            # Its own deadline: the RPC that recorded the event may long be over.
            await LedgerClient(self._channel).record_costs(batch)
            self.booked += len(batch)
            self._settle(batch)
        except InvalidArgument as error:
            if len(batch) > 1:
                # One wrong event must not take the rest with it: halve until it stands alone.
                middle = len(batch) // 2
                first = await self._book(origin, batch[:middle])
                return await self._book(origin, batch[middle:]) and first
            self._lose(batch, error.message)
        except _REFUSED as error:
            if self._newest.get(origin.tenant_id, ("", 0.0))[0] == self._token:
                # Its key may have been withdrawn: the next that the tenant shows is tried, however soon that one ends.
                del self._newest[origin.tenant_id]
            self._set_aside(origin, batch, error)
        except MeshError as error:
            _log.warning("costs not booked yet", events=len(batch), reason=error.reason, problem=error.message)
            self._queue.extend((origin, event) for event in batch)
            return False
        except asyncio.CancelledError:
            self._queue.extend((origin, event) for event in batch)
            raise
        finally:
            self._in_flight -= len(batch)
        return True

    def _set_aside(self, origin: Origin, batch: list[CostEvent], error: MeshError) -> None:
        _log.warning("costs refused, to be tried again", events=len(batch), reason=error.reason, problem=error.message)
        self._aside.extend((origin, event) for event in batch)
        beyond = len(self._aside) - self._events_max
        if beyond > 0:
            self._lose([self._aside.popleft()[1] for _ in range(beyond)], error.message)
        if self._bringing_back is None:
            loop = asyncio.get_running_loop()
            self._bringing_back = loop.call_later(self._refused_retry_s, self._bring_back)

    def _bring_back(self) -> None:
        self._bringing_back = None
        self._queue.extend(self._aside)
        self._aside.clear()
        self._arrived.set()

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
                _log.warning("cost journal not written", problem=str(error))
