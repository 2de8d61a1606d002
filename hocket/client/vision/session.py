"""Watch session: offers frames in batches, handles verdicts, and uploads keyframes encoded off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
import time
from collections import deque
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

import grpc
import structlog
from hocket.vision.v1 import vision_pb2, vision_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import FailedPrecondition, InvalidArgument, MeshError, PermissionDenied, ResourceExhausted
from hocket.chassis.status import mesh_errors
from hocket.client.vision.frame import Frame
from hocket.client.vision.keyframe import Keyframe, OnKeyframe
from hocket.client.vision.keyframe_encoder import UPLOAD_BYTES_MAX, KeyframeEncoder
from hocket.client.vision.pacing import PacingRules
from hocket.client.vision.session_stats import SessionStats
from hocket.client.vision.thumbnail import thumbnail
from hocket.client.vision.watched_track import PendingFrame, WatchedTrack

OFFERS_PER_MESSAGE_MAX = 64
OFFERS_QUEUED_MAX = 1024
UPLOADS_QUEUED_MAX = 16
# Offers of several tracks are collected for this long. A message costs as much as 50 offers, and the wait is a sixth of
# the verdict timeout.
BATCH_WINDOW_S = 0.008
STREAM_TIMEOUT_S = 4 * 3600.0
_BACKOFF_S = (0.1, 1.0)
# Jitter against thundering herds, before a stream that worked is opened again.
_RECONNECT_JITTER_S_MAX = 0.03
_DRAIN_S = 1.0
# A new connection cannot resolve these.
_FATAL = (InvalidArgument, PermissionDenied, FailedPrecondition)

_SETTLING_CAUSES = frozenset({vision_pb2.CAUSE_SETTLING, vision_pb2.CAUSE_PACED})
_KEEP_VERDICTS = frozenset({vision_pb2.VERDICT_KEEP, vision_pb2.VERDICT_REFRESH})
_log = structlog.get_logger()

# Generic in the type stubs only.
if TYPE_CHECKING:
    _Call = grpc.aio.StreamStreamCall[vision_pb2.WatchRequest, vision_pb2.WatchResponse]
else:
    _Call = grpc.aio.StreamStreamCall


class WatchSession:
    """Live tracks of one process, watched over one stream; made by `VisionClient.watch`.

    A session belongs to the event loop that entered it; it is not thread-safe. It reconnects until it is closed. While
    no verdict comes within the verdict timeout, a fallback timer keeps frames and marks them `by_timer`.

    Attributes:
        stats: Counts of the session.
        error: Error that ended the stream for good, such as a refused config; None while the session works. With an
            error set, the fallback timer keeps frames until the session is closed.

    Example:
        ::

            latest: dict[str, bytes] = {}

            def on_keyframe(jpeg: bytes, keyframe: Keyframe) -> None:
                latest[keyframe.track] = jpeg  # for the next request to a vision model

            async with client.watch(on_keyframe) as session:  # client: VisionClient
                async for event in rtc.VideoStream(track, capacity=1, format=rtc.VideoBufferType.I420):
                    video = event.frame
                    frame = I420Frame(video.data, video.width, video.height, rotation=90 * event.rotation)
                    session.submit("room", track.sid, frame, captured_at_s=event.timestamp_us / 1e6)
                session.forget("room", track.sid)
    """

    def __init__(
        self,
        channel: MeshChannel,
        on_keyframe: OnKeyframe,
        *,
        config: vision_pb2.WatchConfig,
        rules: PacingRules,
        upload: bool,
    ) -> None:
        """Prepare a session; it connects in `async with`. The arguments are those of `VisionClient.watch`."""
        self._channel = channel
        self._stub = vision_pb2_grpc.VisionServiceStub(channel.channel)
        self._on_keyframe = on_keyframe
        self._config = config
        # The timer policy needs every frame of its own interval: nothing is suppressed.
        timer = config.policy == vision_pb2.POLICY_TIMER
        self._rules = replace(rules, heartbeat_interval_s=0.0, look_interval_s_max=math.inf) if timer else rules
        self._upload = upload
        self._tracks: dict[tuple[str, str], WatchedTrack] = {}
        self._offers: deque[vision_pb2.Offer] = deque()
        self._uploads: deque[vision_pb2.FrameUpload] = deque(maxlen=UPLOADS_QUEUED_MAX)
        self._wake = asyncio.Event()
        self._connected = False
        self._disconnected_at_s = 0.0
        self._closing = False
        # One sequence over all tracks: a track that is forgotten and seen again continues with rising ids.
        self._frame_ids = itertools.count(1)
        # Ids below it were offered on an earlier stream.
        self._stream_first_id = 0
        self._encoder = KeyframeEncoder(self._is_watched)
        self._run_task: asyncio.Task[None] | None = None
        self.stats = SessionStats()
        self.error: MeshError | None = None

    async def __aenter__(self) -> Self:
        """Start connecting; frames may be submitted at once."""
        self._disconnected_at_s = time.monotonic()
        self._run_task = asyncio.create_task(self._run(), name="vision-watch")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Deliver queued keyframes, send queued messages, each for 1 s at most, and end the stream."""
        await self._encoder.drain(_DRAIN_S)
        self._closing = True
        self._wake.set()
        if self._run_task:
            await asyncio.wait([self._run_task], timeout=_DRAIN_S)
            self._run_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._run_task
        self._encoder.close()

    def submit(
        self, room: str, track: str, frame: Frame, *, captured_at_s: float | None = None, speaking: bool = False
    ) -> None:
        """Submit a decoded frame; returns without waiting.

        Args:
            room: Room name, 1 to 256 bytes.
            track: Track id, unique in the room, 1 to 128 bytes.
            frame: The frame. Its buffer must not change while the frame may still be kept, up to 1 s.
            captured_at_s: Capture time in seconds, on any clock that all frames of the track share. Defaults to the
                time of the call.
            speaking: Whether the track's participant is speaking, which asks for the active interval.
        """
        self.stats.seen += 1
        now_s = time.monotonic()
        at_s = now_s if captured_at_s is None else captured_at_s
        state = self._tracks.get((room, track))
        if state is None:
            state = self._tracks[room, track] = WatchedTrack(room, track, self._rules)
        pacer = state.pacer
        if self._is_verdict_overdue(state, now_s) and pacer.should_keep_by_timer(at_s):
            self._keep_by_timer(state, frame, at_s)
        # Also while verdicts are overdue: a slow server gets no more offers than a fast one.
        if not pacer.should_examine(at_s, speaking=speaking) or not self._connected or state.is_paused(now_s):
            return
        self.stats.looked_at += 1
        cells = thumbnail(frame)
        if not pacer.should_offer(cells, at_s, speaking=speaking):
            self.stats.suppressed += 1
            return
        frame_id = next(self._frame_ids)
        state.add_pending(frame_id, PendingFrame(frame, cells, at_s, now_s))
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

    def forget(self, room: str, track: str) -> None:
        """Release the state of a track that has ended; its keyframes still in the encoder are dropped."""
        self._tracks.pop((room, track), None)

    @property
    def connected(self) -> bool:
        """Whether a stream to the service is open; without one the fallback timer keeps frames."""
        return self._connected

    @property
    def pending_offers(self) -> int:
        """Number of offers without a verdict."""
        return sum(len(state.pending) for state in self._tracks.values())

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

    def _is_verdict_overdue(self, state: WatchedTrack, now_s: float) -> bool:
        if not self._connected:
            # Moving from a draining replica to another takes less than the timeout and keeps no extra frame.
            return self.error is not None or now_s - self._disconnected_at_s > self._rules.verdict_timeout_s
        if state.refused_at_s is not None:
            return True
        since_s = state.pending_since_s
        return since_s is not None and now_s - since_s > self._rules.verdict_timeout_s

    def _keep_by_timer(self, state: WatchedTrack, frame: Frame, at_s: float) -> None:
        state.keyframe_thumbnail = thumbnail(frame)
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
        state.pacer.record_keyframe(at_s)
        state.keyframe_id = frame_id
        width, height = frame.upright_size
        keyframe = Keyframe(state.ref.room, state.ref.track, frame_id, at_s, width, height, cause, by_timer)
        if self._encoder.add(state, frame, keyframe, self._deliver):
            self.stats.dropped += 1

    def _keep_on_server(self, state: WatchedTrack, frame_id: int, pending: PendingFrame) -> None:
        """Upload a frame that shows the same as the last keyframe, which the caller has and a new server lacks."""
        if not self._upload:
            return
        width, height = pending.frame.upright_size
        room, track, at_s = state.ref.room, state.ref.track, pending.captured_at_s
        keyframe = Keyframe(room, track, frame_id, at_s, width, height, vision_pb2.CAUSE_FIRST, by_timer=False)
        self._encoder.add(state, pending.frame, keyframe, self._send_upload)

    def _is_watched(self, state: WatchedTrack) -> bool:
        return self._tracks.get((state.ref.room, state.ref.track)) is state

    def _deliver(self, jpeg: bytes, keyframe: Keyframe) -> None:
        self.stats.jpeg_bytes += len(jpeg)
        # Frames kept by the timer were not offered: the server would reject their upload.
        if self._upload and not keyframe.by_timer:
            self._send_upload(jpeg, keyframe)
        self._on_keyframe(jpeg, keyframe)

    def _send_upload(self, jpeg: bytes, keyframe: Keyframe) -> None:
        # A new stream's server does not know the frames of an earlier one. It keeps the first frame that it is offered,
        # so it gets the picture with that one.
        if not self._connected or keyframe.frame_id < self._stream_first_id or len(jpeg) > UPLOAD_BYTES_MAX:
            return
        ref = vision_pb2.TrackRef(room=keyframe.room, track=keyframe.track)
        self._uploads.append(vision_pb2.FrameUpload(frame_id=keyframe.frame_id, track=ref, jpeg=jpeg))
        self._wake.set()

    async def _run(self) -> None:
        """Keep a stream open until the session closes or a fatal error occurs."""
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
                _log.error("vision stream failed; the fallback timer keeps frames", error=error.message)
                return
            except MeshError as error:
                _log.info("vision stream lost", error=error.message)
            finally:
                if self._connected:
                    self._disconnected_at_s = time.monotonic()
                self._connected = False
            if self._closing:
                return
            self.stats.reconnects += 1
            # After a stream that worked, reconnect almost at once, to another replica. Otherwise back off.
            worked = time.monotonic() - started_s > 1
            backoff_s = _BACKOFF_S[0] if worked else min(2 * backoff_s, _BACKOFF_S[1])
            wait_s = random.uniform(0, _RECONNECT_JITTER_S_MAX) if worked else backoff_s * random.uniform(0.5, 1)
            await asyncio.sleep(wait_s)

    async def _stream(self) -> None:
        call = self._stub.Watch(**self._channel.options(STREAM_TIMEOUT_S))
        sender: asyncio.Task[None] | None = None
        try:
            await call.write(vision_pb2.WatchRequest(config=self._config))
            self._reset_tracks()
            sender = asyncio.create_task(self._send(call), name="vision-send")
            async for response in call:
                self._receive(response)
        finally:
            if sender:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
            call.cancel()

    def _reset_tracks(self) -> None:
        """Start a new stream, whose server knows no track."""
        self._offers.clear()
        self._uploads.clear()
        self._stream_first_id = next(self._frame_ids)
        for state in self._tracks.values():
            state.reset()
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
                self._apply_verdict(verdict)
            for rejection in response.verdicts.rejections:
                self._apply_rejection(rejection)
        elif kind == "rejection":
            self._count_rejection(response.rejection, "vision upload rejected")

    def _apply_verdict(self, verdict: vision_pb2.FrameVerdict) -> None:
        state = self._tracks.get((verdict.track.room, verdict.track.track))
        pending = state.take_pending(verdict.frame_id) if state else None
        if state is None or pending is None:
            return
        wait = verdict.next_frame_in
        next_frame_in_s = wait.seconds + wait.nanos / 1e9
        state.pacer.record_verdict(next_frame_in_s=next_frame_in_s, settling=verdict.cause in _SETTLING_CAUSES)
        state.refused_at_s = None
        if state.keyframe_id > verdict.frame_id:
            # A late verdict on a frame older than the last keyframe.
            return
        if verdict.verdict not in _KEEP_VERDICTS:
            if state.keyframe_thumbnail is None:
                # The track was forgotten here and is still known to the server, so the caller has no keyframe of it.
                self._keep_by_timer(state, pending.frame, pending.captured_at_s)
            return
        first = verdict.cause == vision_pb2.CAUSE_FIRST
        if first and state.matches_keyframe(pending.thumbnail, self._rules.noise_floor_levels):
            self._keep_on_server(state, verdict.frame_id, pending)
            return
        state.keyframe_thumbnail = pending.thumbnail
        if verdict.verdict == vision_pb2.VERDICT_KEEP:
            self.stats.kept += 1
        else:
            self.stats.refreshed += 1
        self._keep(state, verdict.frame_id, pending.frame, pending.captured_at_s, verdict.cause, by_timer=False)

    def _apply_rejection(self, rejection: vision_pb2.Rejection) -> None:
        state = self._tracks.get((rejection.track.room, rejection.track.track))
        if state:
            state.take_pending(rejection.frame_id)
            state.refused_at_s = time.monotonic()
        self._count_rejection(rejection, "vision offer rejected")

    def _count_rejection(self, rejection: vision_pb2.Rejection, event: str) -> None:
        self.stats.rejected += 1
        _log.warning(event, frame_id=rejection.frame_id, problem=rejection.message)
