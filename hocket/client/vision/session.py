"""A session of watching: offers out in batches, verdicts in, kept frames encoded off the loop and uploaded."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

import grpc
import structlog
from hocket.vision.v1 import vision_pb2, vision_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import FailedPrecondition, InvalidArgument, MeshError, PermissionDenied, ResourceExhausted
from hocket.chassis.status import mesh_errors
from hocket.client.vision.frame import Frame
from hocket.client.vision.jpeg import encode_jpeg
from hocket.client.vision.pacing import PacingRules
from hocket.client.vision.thumbnail import thumbnail
from hocket.client.vision.watched import HeldFrame, Keyframe, OnKeyframe, SessionStats, WatchedTrack

OFFERS_PER_MESSAGE_MAX = 64
OFFERS_QUEUED_MAX = 1024
UPLOADS_QUEUED_MAX = 16
# With more kept frames than this waiting for the encoder, a newer one of a track takes the place of its older one.
ENCODES_QUEUED_MAX = 32
UPLOAD_BYTES_MAX = 1024 * 1024
# Tracks of one gateway are offered together: the wait is a sixth of the verdict's deadline, a message costs 50 offers.
BATCH_WINDOW_S = 0.008
STREAM_TIMEOUT_S = 4 * 3600.0
_BACKOFF_S = (0.1, 1.0)
_AGAIN_S_MAX = 0.03
_QUALITIES = (85, 70, 50, 30)
_DRAIN_S = 1.0
# Reconnecting cannot mend these.
_FATAL = (InvalidArgument, PermissionDenied, FailedPrecondition)

_WAITING = frozenset({vision_pb2.CAUSE_SETTLING, vision_pb2.CAUSE_PACED})
_KEPT = frozenset({vision_pb2.VERDICT_KEEP, vision_pb2.VERDICT_REFRESH})
_log = structlog.get_logger()

# Generic in the type stubs alone.
if TYPE_CHECKING:
    _Call = grpc.aio.StreamStreamCall[vision_pb2.WatchRequest, vision_pb2.WatchResponse]
else:
    _Call = grpc.aio.StreamStreamCall


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """A kept frame on its way to the encoder."""

    state: WatchedTrack
    frame: Frame
    keyframe: Keyframe


class WatchSession:
    """Tracks of one process, watched over one stream. Everything runs on the loop that entered it."""

    def __init__(
        self,
        channel: MeshChannel,
        on_keyframe: OnKeyframe,
        *,
        config: vision_pb2.WatchConfig,
        rules: PacingRules,
        upload: bool,
    ) -> None:
        """Prepare; nothing is sent before `async with`."""
        self._channel = channel
        self._stub = vision_pb2_grpc.VisionServiceStub(channel.channel)
        self._on_keyframe = on_keyframe
        self._config = config
        # The timer keeps frames whatever they show: nothing is suppressed, and its own pace is the only one.
        timer = config.policy == vision_pb2.POLICY_TIMER
        self._rules = replace(rules, heartbeat_interval_s=0.0, look_interval_s_max=math.inf) if timer else rules
        self._upload = upload
        self._tracks: dict[tuple[str, str], WatchedTrack] = {}
        self._offers: deque[vision_pb2.Offer] = deque()
        self._uploads: deque[vision_pb2.FrameUpload] = deque(maxlen=UPLOADS_QUEUED_MAX)
        self._wake = asyncio.Event()
        self._connected = False
        self._lost_at_s = 0.0
        self._closing = False
        # Rising over all tracks: one that is forgotten and comes back goes on where the server stands.
        self._frame_ids = itertools.count(1)
        self._kept: deque[_Kept] = deque()
        self._delivering: asyncio.Task[None] | None = None
        self._run_task: asyncio.Task[None] | None = None
        # One thread keeps frames in order and takes no more than one core from the event loop.
        self._encoder = ThreadPoolExecutor(1, "vision-jpeg")
        self.stats = SessionStats()
        self.error: MeshError | None = None

    async def __aenter__(self) -> Self:
        """Begin to connect; frames may be submitted at once."""
        self._lost_at_s = time.monotonic()
        self._run_task = asyncio.create_task(self._run(), name="vision-watch")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Deliver what is being encoded, send what is queued, for a second at most, and end the stream."""
        if self._delivering:
            await asyncio.wait([self._delivering], timeout=_DRAIN_S)
        self._closing = True
        self._wake.set()
        if self._run_task:
            await asyncio.wait([self._run_task], timeout=_DRAIN_S)
            self._run_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._run_task
        if self._delivering:
            self._delivering.cancel()
        self._encoder.shutdown(wait=False, cancel_futures=True)

    def submit(
        self, room: str, track: str, frame: Frame, *, captured_at_s: float | None = None, speaking: bool = False
    ) -> None:
        """Consider a frame; at once, without awaiting. Its buffer must not change while it may still be kept (1 s).

        `captured_at_s` is any clock that runs in seconds, the same for all frames of a track; by default the time of
        this call. `speaking` says that the track's participant is speaking, which asks for the active pace.
        """
        self.stats.seen += 1
        now_s = time.monotonic()
        at_s = now_s if captured_at_s is None else captured_at_s
        state = self._tracks.get((room, track))
        if state is None:
            state = self._tracks[room, track] = WatchedTrack(room, track, self._rules)
        pacer = state.pacer
        if self._unanswered(state, now_s) and pacer.keeps_unasked(at_s):
            self._keep_unasked(state, frame, at_s)
        # Also while verdicts are late: a server that is slow is not asked more often.
        if not pacer.wants(at_s, speaking=speaking) or not self._connected or state.rests(now_s):
            return
        self.stats.looked_at += 1
        cells = thumbnail(frame)
        if not pacer.offers(cells, at_s, speaking=speaking):
            self.stats.suppressed += 1
            return
        frame_id = next(self._frame_ids)
        state.hold(frame_id, HeldFrame(frame, cells, at_s, now_s))
        self._offer(
            vision_pb2.Offer(
                frame_id=frame_id,
                track=state.ref,
                captured_at_us=int(at_s * 1e6),
                luma=cells.luma,
                chroma=cells.chroma,
                width=cells.width,
                height=cells.height,
                speaking=speaking,
                suppressed=pacer.take_suppressed(),
            )
        )

    def _offer(self, offer: vision_pb2.Offer) -> None:
        self._offers.append(offer)
        self.stats.offered += 1
        if len(self._offers) > OFFERS_QUEUED_MAX:
            unsent = self._offers.popleft()
            self.stats.offered -= 1
            state = self._tracks.get((unsent.track.room, unsent.track.track))
            if state is not None:
                state.withdraw(unsent.frame_id)
        self._wake.set()

    def forget(self, room: str, track: str) -> None:
        """The track has ended: free what is held of it."""
        self._tracks.pop((room, track), None)

    @property
    def connected(self) -> bool:
        """Whether a stream to the service is open; while not, frames are kept by the timer."""
        return self._connected

    @property
    def unanswered(self) -> int:
        """Offers without a verdict yet."""
        return sum(len(state.held) for state in self._tracks.values())

    def _unanswered(self, state: WatchedTrack, now_s: float) -> bool:
        if not self._connected:
            # A replica that drains is left for another within a moment: no frame is kept for that.
            return self.error is not None or now_s - self._lost_at_s > self._rules.verdict_timeout_s
        if state.refused_at_s is not None:
            return True
        since_s = state.waiting_since_s
        return since_s is not None and now_s - since_s > self._rules.verdict_timeout_s

    def _keep_unasked(self, state: WatchedTrack, frame: Frame, at_s: float) -> None:
        state.kept_cells = thumbnail(frame)
        self.stats.kept_by_timer += 1
        self._keep(state, next(self._frame_ids), frame, at_s, vision_pb2.CAUSE_TIMER, by_timer=True)

    def _keep(
        self,
        state: WatchedTrack,
        frame_id: int,
        frame: Frame,
        at_s: float,
        cause: vision_pb2.Cause.ValueType,
        *,
        by_timer: bool,
    ) -> None:
        state.pacer.kept(at_s)
        state.kept_id = frame_id
        if len(self._kept) >= ENCODES_QUEUED_MAX:
            older = next((kept for kept in self._kept if kept.state is state), None)
            if older is not None:
                # The newest picture of every track is what counts.
                self._kept.remove(older)
                self.stats.dropped += 1
        width, height = frame.upright_size
        keyframe = Keyframe(state.ref.room, state.ref.track, frame_id, at_s, width, height, cause, by_timer)
        self._kept.append(_Kept(state, frame, keyframe))
        if self._delivering is None or self._delivering.done():
            self._delivering = asyncio.create_task(self._deliver_all(), name="vision-encode")

    async def _deliver_all(self) -> None:
        while self._kept:
            kept = self._kept.popleft()
            if self._is_watched(kept.state):
                await self._deliver(kept)

    def _is_watched(self, state: WatchedTrack) -> bool:
        return self._tracks.get((state.ref.room, state.ref.track)) is state

    async def _deliver(self, kept: _Kept) -> None:
        frame, keyframe = kept.frame, kept.keyframe
        jpeg = await asyncio.get_running_loop().run_in_executor(self._encoder, _encode_within_limit, frame)
        if not self._is_watched(kept.state):
            # Forgotten meanwhile: whoever forgot the track has no place for its picture any more.
            return
        self.stats.jpeg_bytes += len(jpeg)
        # The server knows only frames it was offered.
        if self._upload and self._connected and not keyframe.by_timer and len(jpeg) <= UPLOAD_BYTES_MAX:
            ref = vision_pb2.TrackRef(room=keyframe.room, track=keyframe.track)
            self._uploads.append(vision_pb2.FrameUpload(frame_id=keyframe.frame_id, track=ref, jpeg=jpeg))
            self._wake.set()
        self._on_keyframe(jpeg, keyframe)

    async def _run(self) -> None:
        backoff_s = _BACKOFF_S[0]
        while not self._closing:
            started_s = time.monotonic()
            try:
                with mesh_errors():
                    await self._stream()
            except ResourceExhausted as error:
                backoff_s = max(backoff_s, error.retry_after_s or 0)
                _log.warning("vision stream refused", error=error.message)
            except _FATAL as error:
                self.error = error
                _log.error("vision stream failed; frames are kept by the timer", error=error.message)
                return
            except MeshError as error:
                _log.info("vision stream lost", error=error.message)
            finally:
                if self._connected:
                    self._lost_at_s = time.monotonic()
                self._connected = False
            if self._closing:
                return
            self.stats.reconnects += 1
            # A stream that lived begins anew almost at once, at another replica; waits are random, against herds.
            lived = time.monotonic() - started_s > 1
            backoff_s = _BACKOFF_S[0] if lived else min(2 * backoff_s, _BACKOFF_S[1])
            await asyncio.sleep(random.uniform(0, _AGAIN_S_MAX) if lived else backoff_s * random.uniform(0.5, 1))

    async def _stream(self) -> None:
        call = self._stub.Watch(**self._channel.options(STREAM_TIMEOUT_S))
        sender: asyncio.Task[None] | None = None
        try:
            await call.write(vision_pb2.WatchRequest(config=self._config))
            self._begin()
            sender = asyncio.create_task(self._send(call), name="vision-send")
            async for response in call:
                self._receive(response)
        finally:
            if sender:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
            call.cancel()

    def _begin(self) -> None:
        self._offers.clear()
        self._uploads.clear()
        for state in self._tracks.values():
            state.forget_offers()
        self._connected = True

    async def _send(self, call: _Call) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._offers and len(self._tracks) > 1:
                await asyncio.sleep(BATCH_WINDOW_S)
            while self._offers or self._uploads:
                if self._offers:
                    batch = [self._offers.popleft() for _ in range(min(len(self._offers), OFFERS_PER_MESSAGE_MAX))]
                    message = vision_pb2.WatchRequest(offers=vision_pb2.OfferBatch(offers=batch))
                    self.stats.offer_bytes += message.ByteSize()
                else:
                    message = vision_pb2.WatchRequest(upload=self._uploads.popleft())
                self.stats.messages += 1
                await call.write(message)
            if self._closing:
                await call.done_writing()
                return

    def _receive(self, response: vision_pb2.WatchResponse) -> None:
        kind = response.WhichOneof("payload")
        if kind == "verdicts":
            for verdict in response.verdicts.verdicts:
                self._decide(verdict)
            for rejection in response.verdicts.rejections:
                self._refuse(rejection)
        elif kind == "rejection":
            self._tell(response.rejection, "vision upload rejected")

    def _decide(self, verdict: vision_pb2.FrameVerdict) -> None:
        state = self._tracks.get((verdict.track.room, verdict.track.track))
        held = state.answered(verdict.frame_id) if state else None
        if state is None or held is None:
            return
        wait = verdict.next_frame_in
        state.pacer.answered(next_frame_in_s=wait.seconds + wait.nanos / 1e9, settled=verdict.cause not in _WAITING)
        state.refused_at_s = None
        if state.kept_id > verdict.frame_id:
            # A late verdict over an older frame than the last kept one adds nothing.
            return
        if verdict.verdict not in _KEPT:
            if state.kept_cells is None:
                # The server remembers the track from before it was forgotten here, where no picture of it is left.
                self._keep_unasked(state, held.frame, held.captured_at_s)
            return
        first = verdict.cause == vision_pb2.CAUSE_FIRST
        if first and state.shows_what_was_kept(held.cells, self._rules.noise_floor_levels):
            return
        state.kept_cells = held.cells
        if verdict.verdict == vision_pb2.VERDICT_KEEP:
            self.stats.kept += 1
        else:
            self.stats.refreshed += 1
        self._keep(state, verdict.frame_id, held.frame, held.captured_at_s, verdict.cause, by_timer=False)

    def _refuse(self, rejection: vision_pb2.Rejection) -> None:
        state = self._tracks.get((rejection.track.room, rejection.track.track))
        if state:
            state.answered(rejection.frame_id)
            state.refused_at_s = time.monotonic()
        self._tell(rejection, "vision offer rejected")

    def _tell(self, rejection: vision_pb2.Rejection, what: str) -> None:
        self.stats.rejected += 1
        _log.warning(what, frame_id=rejection.frame_id, problem=rejection.message)


def _encode_within_limit(frame: Frame) -> bytes:
    jpeg = b""
    for quality in _QUALITIES:
        jpeg = encode_jpeg(frame, quality=quality)
        if len(jpeg) <= UPLOAD_BYTES_MAX:
            break
    return jpeg
