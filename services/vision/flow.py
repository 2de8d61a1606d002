"""Request lifecycle over the ports: open a stream, decide, accept keyframes, publish counts, drain."""

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
from services.vision.ports import DecodedFrame, ImageCodec, KeyframeStore, StatsStore, StoredKeyframe, WholeFrame
from services.vision.stats.stats_table import StatsRow, StatsSummary, StatsTable, TrackKey, summarize
from services.vision.telemetry import VisionMetrics
from services.vision.tracks.offers import Offer, Refusal
from services.vision.tracks.stream_gate import StreamGate
from services.vision.tracks.track_table import TrackLimits, TrackTable

# Keyframes being written to the store at once. A store slower than the keyframes makes the newest ones drop.
_STORE_WRITES_MAX = 64
# Offers decided between two yields to the event loop: about 1 ms.
_DECIDE_CHUNK = 64
# Rows per publication: packing them takes about 2 ms of the event loop.
_PUBLISH_CHUNK = 256
_WHOLE_FRAME = "frame"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WholeFrameOffer:
    """A whole frame and its offer; the offer's thumbnail is still empty."""

    offer: Offer
    frame: WholeFrame


class VisionFlow:
    """Lifecycle of streams, keyframes and counts; the rules are in the rooms."""

    def __init__(
        self,
        *,
        options: PolicyOptions,
        limits: TrackLimits,
        quota: TrackQuota,
        stats_table: StatsTable,
        keyframes: KeyframeStore,
        stats_store: StatsStore | None,
        images: ImageCodec,
        clock: Clock,
        metrics: VisionMetrics,
        whole_frames_max: int = 4,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Wire the flow.

        Args:
            options: Default options of the policies.
            limits: Limits per stream.
            quota: Limits of the server.
            stats_table: Counts of this server.
            keyframes: Store of keyframes.
            stats_store: Shared counts; None for a server on its own.
            images: Codec of whole frames.
            clock: Time source.
            metrics: Prometheus metrics.
            whole_frames_max: Whole frames decoded or encoded at once; more wait, tenants round-robin.
            sleep: Sleeps for seconds; used for backpressure and to yield to the event loop.
        """
        self._options = options
        self._limits = limits
        self._quota = quota
        self._stats_table = stats_table
        self._keyframes = keyframes
        self._stats_store = stats_store
        self._images = images
        self._clock = clock
        self._metrics = metrics
        self._sleep = sleep
        self.whole_frame_slots = RoundRobinSemaphore(whole_frames_max)
        # One lock per tenant, for as long as it is in use, so that tenants do not wait for each other.
        self._resuming: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._publishing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._open: set[StreamGate] = set()
        self._store_writes: set[asyncio.Task[None]] = set()
        self.draining = False
        self._reading: set[asyncio.Task[Any]] = set()

    def drain(self) -> None:
        """End all streams with their final counts; may be called from a callback of the server's stop."""
        self.draining = True
        while self._reading:
            self._reading.pop().cancel()

    def open(self, tenant_id: str, policy: Policy, overrides: dict[str, float]) -> StreamGate:
        """Open a stream.

        Args:
            tenant_id: Tenant of the caller's token.
            policy: Policy of the stream.
            overrides: Options that differ from the server's, by field name of `PolicyOptions`; times in seconds.

        Raises:
            InvalidArgument: An option is out of bounds.
        """
        options = options_for(policy, self._options, overrides)
        table = TrackTable(tenant_id, policy, options, self._limits, self._quota, self._stats_table)
        self._metrics.stream_opened(policy)
        stream = StreamGate(policy, table)
        self._open.add(stream)
        return stream

    async def close(self, stream: StreamGate, tenant_id: str) -> None:
        """Release the tracks of a stream and publish its counts, so that later sums are exact."""
        self._open.discard(stream)
        stream.close(self._clock.monotonic())
        self._metrics.stream_closed(stream.policy)
        self._metrics.tracks.set(self._quota.held)
        await self._publish(tenant_id)

    async def decide(self, stream: StreamGate, offers: list[Offer]) -> list[Decision | Refusal]:
        """Decide for a batch of offers; yields to other streams after each chunk of a long batch."""
        results: list[Decision | Refusal] = []
        for start in range(0, len(offers), _DECIDE_CHUNK):
            if start:
                await self._sleep(0)
            results += self._decide_chunk(stream, offers[start : start + _DECIDE_CHUNK], start, "offers[{}]")
        return results

    def _decide_chunk(
        self, stream: StreamGate, offers: list[Offer], start: int, field: str
    ) -> list[Decision | Refusal]:
        with self._metrics.batch_seconds.time():
            results = stream.decide(offers, self._clock.monotonic(), first_index=start, field=field)
        self._metrics.batch_decided(stream.policy, results)
        self._metrics.tracks.set(self._quota.held)
        return results

    async def apply_backpressure(self, tenant_id: str, refused: int, offered: int) -> None:
        """Delay the next read of a stream whose last message had `refused` of `offered` offers refused.

        Delayed streams of a tenant resume one at a time. gRPC flow control holds the client meanwhile.
        """
        delay_s = refusal_delay_s(refused, offered)
        if delay_s:
            self._metrics.held_back_seconds.inc(delay_s)
            await self._sleep(delay_s)
            async with self._resuming.setdefault(tenant_id, asyncio.Lock()):
                await self._sleep(0 if self.draining else TURN_SHARE * delay_s)

    async def dedup(
        self, stream: StreamGate, whole: WholeFrameOffer, *, return_jpeg: bool, longest_px: int, tenant_id: str
    ) -> tuple[Decision, bytes]:
        """Decide for a whole frame.

        Args:
            stream: Stream of the frame.
            whole: The frame and its offer.
            return_jpeg: Whether to encode the frame if it is kept.
            longest_px: Longest side of the JPEG in pixels; 0 keeps the size.
            tenant_id: Tenant of the caller's token.

        Returns:
            The decision and the JPEG, which is empty for a skipped frame or without `return_jpeg`.

        Raises:
            InvalidArgument: The picture or its offer is invalid.
        """
        stream.check_before_decoding(whole.offer, _WHOLE_FRAME)
        async with self.whole_frame_slots.slot(tenant_id):
            decoded = await self._images.decode(whole.frame, stream.policy)
            decision, frame_id = self._decide_whole(stream, whole.offer, decoded)
            if decision.ruling.verdict is Verdict.SKIP or not return_jpeg:
                return decision, b""
            encoded = await self._images.encode(decoded, longest_px)
        offer = whole.offer
        stream.accept_upload(offer.room, offer.track, frame_id, len(encoded.jpeg))
        key = TrackKey(tenant_id, offer.room, offer.track)
        self._store_keyframe(key, frame_id, encoded.width, encoded.height, encoded.jpeg)
        return decision, encoded.jpeg

    def _decide_whole(self, stream: StreamGate, whole: Offer, decoded: DecodedFrame) -> tuple[Decision, int]:
        cells = decoded.thumbnail
        offer = whole._replace(
            luma=cells.luma,
            chroma=cells.chroma,
            width=cells.width,
            height=cells.height,
            frame_hash=decoded.frame_hash,
        )
        (result,) = self._decide_chunk(stream, [offer], 0, _WHOLE_FRAME)
        if isinstance(result, Refusal):
            raise result.error
        return result, offer.frame_id

    def upload(self, stream: StreamGate, key: TrackKey, frame_id: int, jpeg: bytes, size_px: tuple[int, int]) -> None:
        """Accept an uploaded keyframe and store it in the background.

        Args:
            stream: Stream of the upload.
            key: Track of the frame.
            frame_id: Id of the frame.
            jpeg: JPEG file.
            size_px: Its width and height in pixels.

        Raises:
            TrackNotFound: The track was not offered on this stream.
            WrongOrder: The frame is no pending keyframe of the track.
        """
        stream.accept_upload(key.room, key.track, frame_id, len(jpeg))
        self._metrics.upload_bytes.inc(len(jpeg))
        self._store_keyframe(key, frame_id, *size_px, jpeg)

    async def list_keyframes(self, key: TrackKey, limit: int, *, include_jpeg: bool) -> list[StoredKeyframe]:
        """Return the latest keyframes of a track, latest first.

        Raises:
            KeyframesUnavailable: The store did not answer.
        """
        return await self._keyframes.latest(key, limit, include_jpeg=include_jpeg)

    async def get_stats(self, tenant_id: str, room: str, track: str) -> tuple[StatsSummary, bool]:
        """Return the counts of all servers, and whether they are degraded to those of this one.

        Args:
            tenant_id: Tenant of the caller's token.
            room: Only this room; empty for all.
            track: Only this track; empty for all.
        """
        if self._stats_store is None:
            return summarize(self._stats_table.rows(tenant_id), room, track), False
        try:
            await self._publish_or_raise(self._stats_store, tenant_id)
            return summarize(await self._stats_store.read(tenant_id), room, track), False
        except Unavailable:
            return summarize(self._stats_table.rows(tenant_id), room, track), True

    def stream_stats(self, stream: StreamGate) -> StatsSummary:
        """Return the counts of one stream's tracks on this server."""
        return summarize(stream.rows(), "", "")

    async def publish_counts(self, interval_s: float) -> None:
        """Evict idle tracks and publish changed counts every `interval_s` seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            now_s = self._clock.monotonic()
            for stream in tuple(self._open):
                stream.evict_idle(now_s)
            self._stats_table.retire_idle(now_s)
            for tenant_id in self._stats_table.tenants_to_publish(now_s):
                if not await self._publish(tenant_id):
                    break  # The store did not answer: one timeout per interval is enough.

    async def until_drained(self, messages: AsyncIterator[T]) -> AsyncGenerator[T, None]:
        """Yield `messages` until they end or the server drains."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not in a task")
        while not self.draining:
            # `drain` cancels the tasks in this set: only while they wait for a message, never during other work.
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

    def _store_keyframe(self, key: TrackKey, frame_id: int, width: int, height: int, jpeg: bytes) -> None:
        if len(self._store_writes) >= _STORE_WRITES_MAX:
            self._metrics.keyframes.labels("dropped").inc()
            return
        keyframe = StoredKeyframe(frame_id, self._clock.time(), width, height, jpeg)
        task = asyncio.create_task(self._await_store(self._keyframes.add(key, keyframe)))
        self._store_writes.add(task)
        task.add_done_callback(self._store_writes.discard)

    async def _await_store(self, write: Coroutine[None, None, None]) -> None:
        try:
            await write
        except MeshError:
            self._metrics.keyframes.labels("lost").inc()
        else:
            self._metrics.keyframes.labels("stored").inc()

    async def _publish(self, tenant_id: str) -> bool:
        if self._stats_store is None:
            return True
        try:
            await self._publish_or_raise(self._stats_store, tenant_id)
        except Unavailable:
            # The rows are marked as unpublished again and go out with the next interval.
            self._metrics.stats_publishes.labels("failed").inc()
            return False
        self._metrics.stats_publishes.labels("done").inc()
        return True

    async def _publish_or_raise(self, store: StatsStore, tenant_id: str) -> None:
        """Publish all changed rows of a tenant; a concurrent call waits and then finds nothing left to publish."""
        async with self._publishing.setdefault(tenant_id, asyncio.Lock()):
            while True:
                now_s = self._clock.monotonic()
                rows, removed_uids = self._stats_table.take_unpublished(tenant_id, now_s, _PUBLISH_CHUNK)
                if not rows and not removed_uids:
                    return
                try:
                    await store.publish(tenant_id, rows, removed_uids)
                except (Unavailable, asyncio.CancelledError):
                    self._put_back(tenant_id, rows, removed_uids)
                    raise

    def _put_back(self, tenant_id: str, rows: list[StatsRow], removed_uids: list[str]) -> None:
        self._stats_table.put_back(tenant_id, [row.uid for row in rows], removed_uids)
