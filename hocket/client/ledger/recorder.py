"""Records cost events in the background, so that no call waits for the ledger."""

from __future__ import annotations

import asyncio
import contextvars
import random
import uuid
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import structlog
from hocket.ratelimit.v1.ledger_pb2 import CostEvent

from hocket.chassis import identity
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import ClientTls, MeshChannel
from hocket.chassis.closes_on_exit import ClosesOnExit
from hocket.chassis.errors import InvalidArgument, MeshError, PermissionDenied, Unauthenticated, Unimplemented
from hocket.client.ledger.client import LedgerClient
from hocket.client.ledger.journal import CostJournal, EventOrigin
from hocket.client.ledger.tokens import TenantTokens

BATCH_EVENTS_MAX = 500  # half of the 1,000 that one request may hold
# Credential or target errors: keep the events and retry once the key or the address is fixed.
_REFUSED = (Unauthenticated, PermissionDenied, Unimplemented)
_log = structlog.get_logger()


class CostObserver(Protocol):
    """Counts the events of a recorder. Each held event is later recorded, lost, or left in the journal."""

    def queued(self, events: Iterable[CostEvent]) -> None:
        """Count events that the recorder holds from now on."""
        ...

    def recorded(self, events: Iterable[CostEvent]) -> None:
        """Count held events that are durable in the ledger."""
        ...

    def lost(self, events: Iterable[CostEvent]) -> None:
        """Count held events that were given up."""
        ...


class CostRecorder(ClosesOnExit):
    """Queues cost events and records each in the ledger of its own tenant, exactly once.

    Events are sent in batches of one tenant and retried with the same event ids, so the ledger stores none twice.
    Events refused for their token are parked and retried every `refused_retry_s`; they do not delay other events.

    An event is lost if it is malformed, if the queue is full, or, without a journal, if it is still queued when `close`
    gives up. Lost events are counted in `lost` and logged whole ("cost event lost"), so that they can be recorded by
    hand. With a journal file the queue survives a crash, and the next process records it first.

    A service with the signing key passes a minter: every attempt then uses a fresh token of the tenant. Without one, an
    event is recorded with the newest token received from its tenant.

    Create it in the event loop that uses it.

    Example:
            async with CostRecorder("dns:///ratelimit:50051", minter=TokenMinter(secret)) as recorder:
                recorder.record(                                        # inside an RPC: its tenant pays
                    CostEvent(
                        kind=CostKind.COST_KIND_EMBEDDING,
                        provider="voyage",
                        model="voyage-4-lite",
                        cost_micro_usd=24,
                        quantities={"input_tokens": 1200},
                        outcome=CostOutcome.COST_OUTCOME_OK,
                    )
                )

    Attributes:
        recorded: Events that are durable in the ledger.
        lost: Events that were given up and logged.
    """

    def __init__(
        self,
        target: str | None,
        *,
        tls: ClientTls | None = None,
        minter: TokenMinter | None = None,
        journal_file: Path | None = None,
        observer: CostObserver | None = None,
        events_max: int = 10_000,
        linger_s: float = 0.2,
        drain_s: float = 5.0,
        retry_min_s: float = 0.1,
        retry_max_s: float = 5.0,
        refused_retry_s: float = 60.0,
    ) -> None:
        """Create a recorder; with a journal file, start to record the events in it.

        Args:
            target: gRPC target of the ratelimit service. None records nothing and logs that once.
            tls: Certificates of the connection; None connects in plain text.
            minter: Mints tokens for the events' tenants; None uses the tokens that callers sent.
            journal_file: File that keeps events until they are recorded; None keeps them in memory.
            observer: Counts events by what becomes of them; None counts only in `recorded` and `lost`.
            events_max: Events queued or in flight at once; further ones are lost. Parked events have the same bound.
            linger_s: Seconds that an event waits for others to share its batch.
            drain_s: Seconds that `close` goes on trying.
            retry_min_s: First pause after a failure, in seconds; it doubles with each further failure.
            retry_max_s: Longest pause after a failure, in seconds.
            refused_retry_s: Seconds between attempts for events whose token was refused.

        Raises:
            OSError: The journal file cannot be written, or another process has locked it.
        """
        self._target = target
        self._observer = observer
        self._events_max = events_max
        self._linger_s = linger_s
        self._drain_s = drain_s
        self._retry_s = (retry_min_s, retry_max_s)
        self._refused_retry_s = refused_retry_s
        self._tokens = TenantTokens(minter)
        self._token = ""
        self._channel = MeshChannel(target, lambda: self._token, tls=tls) if target else None
        self._queue: deque[tuple[EventOrigin, CostEvent]] = deque()
        self._parked: deque[tuple[EventOrigin, CostEvent]] = deque()
        self._unpark_timer: asyncio.TimerHandle | None = None
        self._in_flight = 0
        self._arrived = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._warned_no_target = False
        self.recorded = 0
        self.lost = 0
        self._journal = CostJournal(journal_file) if journal_file and target else None
        if self._journal and (found := self._journal.pending()):
            _log.info("recording cost events of an earlier process", events=len(found))
            self._queue.extend(found)
            self._observe_queued([event for _, event in found])
            self._wake()

    @property
    def pending(self) -> int:
        """Events that are queued, in flight or parked: neither durable in the ledger nor lost."""
        return len(self._queue) + self._in_flight + len(self._parked)

    def record(self, event: CostEvent, *, token: str | None = None) -> bool:
        """Queue one cost event. Never waits and never raises.

        Args:
            event: The event; it is copied. An empty event_id becomes a new UUID, an unset occurred_at becomes now.
            token: Bearer token of the tenant that pays; None for the caller of the RPC being served.

        Returns:
            True if the event is queued; False if it is lost or there is no target.
        """
        if self._channel is None:
            if not self._warned_no_target:
                self._warned_no_target = True
                _log.warning("costs are not recorded: no ratelimit target is set")
            return False
        queued = CostEvent()
        queued.CopyFrom(event)
        queued.event_id = event.event_id or str(uuid.uuid4())
        if not queued.HasField("occurred_at"):
            queued.occurred_at.GetCurrentTime()
        self._observe_queued([queued])
        if self._closing.is_set() or len(self._queue) + self._in_flight >= self._events_max:
            self._lose([queued], "the recorder is closed" if self._closing.is_set() else "the queue is full")
            return False
        entry = (self._caller_origin() if token is None else EventOrigin(token), queued)
        if self._journal is not None:
            try:
                self._journal.add(*entry)
            except OSError as error:
                # Still recorded if this process lives. No traceback: the caller's log formatter may print local
                # variables, and the token is one of them.
                _log.warning("cost event not in the journal", event_id=queued.event_id, problem=str(error))
        self._queue.append(entry)
        self._wake()
        return True

    def _observe_queued(self, events: list[CostEvent]) -> None:
        if self._observer is not None:
            self._observer.queued(events)

    def _caller_origin(self) -> EventOrigin:
        caller = identity.current()
        self._tokens.remember(caller)
        return EventOrigin(caller.token, caller.tenant_id, caller.tenant_tier)

    def _wake(self) -> None:
        self._arrived.set()
        if self._task is None or self._task.done():
            # A context of its own: the deadline of the RPC being served must not end the recording.
            self._task = asyncio.create_task(self._run(), name="cost recorder", context=contextvars.Context())

    async def close(self) -> None:
        """Record the queued events for at most `drain_s`, then stop. The rest stays in the journal, or is lost."""
        self._closing.set()
        self._arrived.set()
        if self._task is not None:
            try:
                await asyncio.wait_for(self._task, self._drain_s)
            except TimeoutError:
                if self._journal is None:
                    self._lose([event for _, event in self._queue], "the ledger did not answer before the drain ended")
                    self._queue.clear()
            self._task = None
        if self._unpark_timer is not None:
            self._unpark_timer.cancel()
        if self._journal is None:
            self._lose([event for _, event in self._parked], "its token was refused")
            self._parked.clear()
        else:
            self._journal.close()
            self._journal = None
        if self._channel is not None:
            await self._channel.close()

    async def _run(self) -> None:
        retry_s = self._retry_s[0]
        while self._queue or not self._closing.is_set():
            if not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
                await self._pause(self._linger_s)
                continue
            if await self._record_batch(*self._take_batch()):
                retry_s = self._retry_s[0]
            else:
                await self._back_off(retry_s * random.uniform(0.5, 1.0))
                retry_s = min(2 * retry_s, self._retry_s[1])

    async def _back_off(self, seconds: float) -> None:
        """Sleep `seconds`; while closing only `retry_min_s`, so that the drain has many attempts."""
        if self._closing.is_set():
            await asyncio.sleep(self._retry_s[0])
        else:
            await self._pause(seconds)

    async def _pause(self, seconds: float) -> None:
        """Sleep `seconds`, or until closing begins."""
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return

    def _take_batch(self) -> tuple[EventOrigin, list[CostEvent]]:
        """Take the oldest events that one token can record; the others keep their order."""
        origin = self._queue[0][0]
        batch: list[CostEvent] = []
        others: deque[tuple[EventOrigin, CostEvent]] = deque()
        while self._queue and len(batch) < BATCH_EVENTS_MAX:
            entry = self._queue.popleft()
            if _share_token(entry[0], origin):
                batch.append(entry[1])
            else:
                others.append(entry)
        others.extend(self._queue)
        self._queue = others
        return origin, batch

    async def _record_batch(self, origin: EventOrigin, batch: list[CostEvent]) -> bool:
        """Send one batch; False if it failed and is back at the end of the queue."""
        assert self._channel is not None  # noqa: S101 - without a channel nothing is queued
        self._in_flight += len(batch)
        try:
            self._token = self._tokens.token_for(origin)
            # The call has a deadline of its own: the RPC that made the event may be over.
            await LedgerClient(self._channel).record_costs(batch)
            self.recorded += len(batch)
            if self._observer is not None:
                self._observer.recorded(batch)
            self._drop_from_journal(batch)
        except InvalidArgument as error:
            if len(batch) > 1:
                # Halve the batch until the malformed event is alone, so that the others are recorded.
                middle = len(batch) // 2
                first = await self._record_batch(origin, batch[:middle])
                return await self._record_batch(origin, batch[middle:]) and first
            self._lose(batch, error.message)
        except _REFUSED as error:
            self._tokens.discard(origin.tenant_id, self._token)
            self._park(origin, batch, error)
        except MeshError as error:
            _log.warning("cost events not recorded yet", events=len(batch), reason=error.reason, problem=error.message)
            self._queue.extend((origin, event) for event in batch)
            return False
        except asyncio.CancelledError:
            self._queue.extend((origin, event) for event in batch)
            raise
        finally:
            self._in_flight -= len(batch)
        return True

    def _park(self, origin: EventOrigin, batch: list[CostEvent], error: MeshError) -> None:
        _log.warning(
            "cost events refused; retrying later",
            events=len(batch),
            reason=error.reason,
            problem=error.message,
            retry_s=self._refused_retry_s,
        )
        self._parked.extend((origin, event) for event in batch)
        beyond = len(self._parked) - self._events_max
        if beyond > 0:
            self._lose([self._parked.popleft()[1] for _ in range(beyond)], error.message)
        if self._unpark_timer is None:
            self._unpark_timer = asyncio.get_running_loop().call_later(self._refused_retry_s, self._unpark)

    def _unpark(self) -> None:
        self._unpark_timer = None
        self._queue.extend(self._parked)
        self._parked.clear()
        self._arrived.set()

    def _lose(self, events: list[CostEvent], why: str) -> None:
        self.lost += len(events)
        if self._observer is not None:
            self._observer.lost(events)
        self._drop_from_journal(events)
        for event in events:
            # A cost event holds no user content. An operator can record it by hand from this line.
            _log.error("cost event lost", why=why, event_hex=event.SerializeToString().hex(), event_id=event.event_id)

    def _drop_from_journal(self, events: list[CostEvent]) -> None:
        if self._journal is not None:
            try:
                self._journal.drop(event.event_id for event in events)
            except OSError as error:
                # The next process sends these events again; the ledger ignores ids that it has.
                _log.warning("cost journal not written", problem=str(error))


def _share_token(one: EventOrigin, other: EventOrigin) -> bool:
    """Whether one token can record the events of both origins."""
    if one.tenant_id:
        return (one.tenant_id, one.tenant_tier) == (other.tenant_id, other.tenant_tier)
    return one.token == other.token
