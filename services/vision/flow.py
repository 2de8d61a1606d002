"""The order of awaits over the ports: streams open, frames come up and are remembered, counts are shared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from hocket.chassis.clock import Clock
from hocket.chassis.errors import MeshError, Unavailable
from services.vision.admission.backpressure import TURN_SHARE, refusal_delay_s
from services.vision.admission.round_robin_semaphore import RoundRobinSemaphore
from services.vision.admission.track_quota import TrackQuota
from services.vision.gating.policy_options import PolicyOptions, options_for
from services.vision.gating.verdict import Decision, Policy, Verdict
from services.vision.ports import ImageReader, KeyframeStore, ReadFrame, StatsStore, StoredKeyframe, WholeFrame
from services.vision.stats.stats_table import StatsRow, StatsSummary, StatsTable, TrackKey, summarize
from services.vision.telemetry import VisionMetrics
from services.vision.tracks.offers import Offer, Refusal
from services.vision.tracks.stream_gate import StreamGate
from services.vision.tracks.track_table import TrackLimits, TrackTable

# Keyframes on their way to the store; when it is slower than the frames come, the newest are not remembered.
_STORING_MAX = 64
# Offers decided before other streams have their turn: a millisecond.
_DECIDED_AT_ONCE_MAX = 64
# Rows published in one step: packing them takes about 2 ms, in which nothing is decided.
_PUBLISHED_AT_ONCE_MAX = 256
_WHOLE_FRAME = "frame"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WholeFrameOffer:
    """A whole frame with what an offer says of it; `offer` has no thumbnail yet."""

    offer: Offer
    frame: WholeFrame


class VisionFlow:
    """What the service does, in order; the rules are elsewhere."""

    def __init__(
        self,
        *,
        rules: PolicyOptions,
        limits: TrackLimits,
        budget: TrackQuota,
        tally: StatsTable,
        keyframes: KeyframeStore,
        stats: StatsStore | None,
        images: ImageReader,
        clock: Clock,
        gauges: VisionMetrics,
        pictures_max: int = 4,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Decide by `rules` unless a stream says otherwise; without `stats` this server's counts are all there are.

        At most `pictures_max` whole frames are in memory at once; others wait, the tenants in turn. `sleep` takes
        seconds; a stream whose offers are refused waits by it, and long batches give way by it.
        """
        self._rules = rules
        self._limits = limits
        self._budget = budget
        self._tally = tally
        self._keyframes = keyframes
        self._stats = stats
        self._images = images
        self._clock = clock
        self._gauges = gauges
        self._sleep = sleep
        self.pictures = RoundRobinSemaphore(pictures_max)
        # One lock a tenant, while anybody holds it: no tenant waits for another's flood or numbers.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._publishing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._open: set[StreamGate] = set()
        self._storing: set[asyncio.Task[None]] = set()
        self.draining = False
        self._reading: set[asyncio.Task[Any]] = set()

    def drain(self) -> None:
        """End every stream with its counts; safe to call from a callback of the server's stop."""
        self.draining = True
        while self._reading:
            self._reading.pop().cancel()

    def open(self, tenant_id: str, policy: Policy, changes: dict[str, float]) -> StreamGate:
        """A new stream. Raises InvalidArgument for options out of bounds."""
        rules = options_for(policy, self._rules, changes)
        table = TrackTable(tenant_id, policy, rules, self._limits, self._budget, self._tally)
        self._gauges.opened(policy)
        watching = StreamGate(policy, table)
        self._open.add(watching)
        return watching

    async def close(self, watching: StreamGate, tenant_id: str) -> None:
        """The stream is over: free its tracks and share its counts, so that sums are exact from here on."""
        self._open.discard(watching)
        watching.close(self._clock.monotonic())
        self._gauges.closed(watching.policy)
        self._gauges.tracks.set(self._budget.held)
        await self._publish(tenant_id)

    async def decide(self, watching: StreamGate, offers: list[Offer]) -> list[Decision | Refusal]:
        """Decide over a batch; a long one in parts, between which other streams have their turn."""
        results: list[Decision | Refusal] = []
        for start in range(0, len(offers), _DECIDED_AT_ONCE_MAX):
            if start:
                await self._sleep(0)
            part = offers[start : start + _DECIDED_AT_ONCE_MAX]
            results += self._decide_at_once(watching, part, start, "offers[{}]")
        return results

    def _decide_at_once(
        self, watching: StreamGate, offers: list[Offer], start: int, field: str
    ) -> list[Decision | Refusal]:
        with self._gauges.batch_seconds.time():
            results = watching.decide(offers, self._clock.monotonic(), first_index=start, field=field)
        self._gauges.decided(watching.policy, results)
        self._gauges.tracks.set(self._budget.held)
        return results

    async def hold_back(self, tenant_id: str, refused: int, offered: int) -> None:
        """Read the next message of a stream later, by what was refused of its last: flow control holds a flood."""
        wait_s = refusal_delay_s(refused, offered)
        if wait_s:
            self._gauges.held_back_seconds.inc(wait_s)
            await self._sleep(wait_s)
            async with self._turns.setdefault(tenant_id, asyncio.Lock()):
                await self._sleep(0 if self.draining else TURN_SHARE * wait_s)

    async def dedup(
        self, watching: StreamGate, whole: WholeFrameOffer, *, return_jpeg: bool, longest_px: int, tenant_id: str
    ) -> tuple[Decision, bytes]:
        """Decide over a whole frame; the JPEG is empty unless it is kept and asked for. Raises InvalidArgument."""
        watching.require_next(whole.offer, _WHOLE_FRAME)
        async with self.pictures.slot(tenant_id):
            read = await self._images.read(whole.frame, watching.policy)
            result, frame_id = self._judge_whole(watching, whole.offer, read)
            if result.ruling.verdict is Verdict.SKIP or not return_jpeg:
                return result, b""
            encoded = await self._images.encode(read, longest_px)
        asked = whole.offer
        watching.await_upload(asked.room, asked.track, frame_id, len(encoded.jpeg))
        key = TrackKey(tenant_id, asked.room, asked.track)
        self._remember(key, frame_id, encoded.width, encoded.height, encoded.jpeg)
        return result, encoded.jpeg

    def _judge_whole(self, watching: StreamGate, asked: Offer, read: ReadFrame) -> tuple[Decision, int]:
        cells = read.thumbnail
        offer = Offer(
            asked.room,
            asked.track,
            asked.frame_id,
            asked.captured_at_us,
            cells.luma,
            cells.chroma,
            cells.width,
            cells.height,
            speaking=asked.speaking,
            frame_hash=read.frame_hash,
        )
        (result,) = self._decide_at_once(watching, [offer], 0, _WHOLE_FRAME)
        if isinstance(result, Refusal):
            raise result.error
        return result, offer.frame_id

    def upload(self, watching: StreamGate, key: TrackKey, frame_id: int, jpeg: bytes, size_px: tuple[int, int]) -> None:
        """Take a kept frame in. Raises InvalidArgument for one that was not asked for."""
        watching.await_upload(key.room, key.track, frame_id, len(jpeg))
        self._gauges.upload_bytes.inc(len(jpeg))
        self._remember(key, frame_id, *size_px, jpeg)

    async def list_keyframes(self, key: TrackKey, limit: int, *, include_jpeg: bool) -> list[StoredKeyframe]:
        """The latest kept frames. Raises KeyframesUnavailable."""
        return await self._keyframes.latest(key, limit, include_jpeg=include_jpeg)

    async def get_stats(self, tenant_id: str, room: str, track: str) -> tuple[StatsSummary, bool]:
        """Counts of all servers, and whether they are those of this one alone because the store is away."""
        if self._stats is None:
            return summarize(self._tally.rows(tenant_id), room, track), False
        try:
            await self._publish_or_raise(self._stats, tenant_id)
            return summarize(await self._stats.read(tenant_id), room, track), False
        except Unavailable:
            return summarize(self._tally.rows(tenant_id), room, track), True

    def stats_of(self, watching: StreamGate) -> StatsSummary:
        """Counts of one stream's tracks on this server."""
        return summarize(watching.rows(), "", "")

    async def share_counts(self, interval_s: float) -> None:
        """Publish changed counts until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            now_s = self._clock.monotonic()
            for watching in tuple(self._open):
                watching.drop_idle(now_s)
            self._tally.retire_idle(now_s)
            for tenant_id in self._tally.tenants_to_publish(now_s):
                if not await self._publish(tenant_id):
                    break  # The store is away: one wait an interval is enough.

    async def until_drained(self, messages: AsyncIterator[T]) -> AsyncGenerator[T, None]:
        """`messages`, cut short when the server drains."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not in a task")
        while not self.draining:
            # While it is named here, `drain` may end the wait for a silent client, and nothing else of the stream.
            self._reading.add(task)
            try:
                message = await anext(messages)
            except StopAsyncIteration:
                return
            except asyncio.CancelledError:
                if self.draining and task.uncancel() == 0:
                    return
                raise
            finally:
                self._reading.discard(task)
            yield message

    def _remember(self, key: TrackKey, frame_id: int, width: int, height: int, jpeg: bytes) -> None:
        if len(self._storing) >= _STORING_MAX:
            self._gauges.keyframes.labels("dropped").inc()
            return
        keyframe = StoredKeyframe(frame_id, self._clock.time(), width, height, jpeg)
        task = asyncio.create_task(self._store(self._keyframes.add(key, keyframe)))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _store(self, adding: Coroutine[None, None, None]) -> None:
        try:
            await adding
        except MeshError:
            self._gauges.keyframes.labels("lost").inc()
        else:
            self._gauges.keyframes.labels("stored").inc()

    async def _publish(self, tenant_id: str) -> bool:
        if self._stats is None:
            return True
        try:
            await self._publish_or_raise(self._stats, tenant_id)
        except Unavailable:
            # The rows are marked again and go out with the next interval.
            self._gauges.stats_publishes.labels("failed").inc()
            return False
        self._gauges.stats_publishes.labels("done").inc()
        return True

    async def _publish_or_raise(self, store: StatsStore, tenant_id: str) -> None:
        """Publish all that has changed; whoever waited for another's publishing finds it done."""
        async with self._publishing.setdefault(tenant_id, asyncio.Lock()):
            while True:
                rows, gone = self._tally.take_unpublished(tenant_id, self._clock.monotonic(), _PUBLISHED_AT_ONCE_MAX)
                if not rows and not gone:
                    return
                try:
                    await store.publish(tenant_id, rows, gone)
                except (Unavailable, asyncio.CancelledError):
                    self._put_back(tenant_id, rows, gone)
                    raise

    def _put_back(self, tenant_id: str, rows: list[StatsRow], gone: list[str]) -> None:
        self._tally.put_back(tenant_id, [row.uid for row in rows], gone)
