"""gRPC servicer: converts messages and calls the flow."""
# ruff: noqa: ARG002 - gRPC passes request and context to every method

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import contextmanager
from typing import TypeVar

import simplejpeg
import structlog
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from hocket.chassis import identity
from hocket.chassis.errors import MeshError, Unavailable, invalid_field
from hocket.chassis.guard import Context
from services.vision import wire
from services.vision.errors import WrongOrder, too_large
from services.vision.flow import VisionFlow, WholeFrameOffer
from services.vision.stats.stats_table import TrackKey
from services.vision.tracks.offers import check_track
from services.vision.tracks.stream_gate import StreamGate

SERVICE = "hocket.vision.v1.VisionService"
UPLOAD_BYTES_MAX = 1024 * 1024
_JPEG_END = b"\xff\xd9"
Request = TypeVar("Request", pb.WatchRequest, pb.DedupRequest)
_log = structlog.get_logger()


class VisionServicer(vision_pb2_grpc.VisionServiceServicer):
    """hocket.vision.v1.VisionService."""

    def __init__(self, flow: VisionFlow, *, unread_timeout_s: float) -> None:
        """Serve `flow`.

        Args:
            flow: Flow of the service.
            unread_timeout_s: Longest wait for a client to read a response, in seconds; then its stream is cancelled.
        """
        self._flow = flow
        self._unread_timeout_s = unread_timeout_s

    async def Watch(
        self, request_iterator: AsyncIterator[pb.WatchRequest], context: Context
    ) -> AsyncGenerator[pb.WatchResponse, None]:
        """Answer offers with verdicts and accept uploads of keyframes."""
        tenant_id = identity.current().tenant_id
        messages = self._flow.until_drained(request_iterator)
        config = (await self._read_config(messages)).config
        policy, overrides = wire.policy_from_proto(config.policy), wire.overrides_from_proto(config.options)
        stream = self._flow.open(tenant_id, policy, overrides)
        try:
            async for request in messages:
                response = await self._respond(stream, tenant_id, request)
                if response is None:
                    continue
                with self._cancel_if_unread():
                    yield response
                await self._flow.apply_backpressure(tenant_id, *wire.count_refused(request, response))
            if self._flow.draining:
                yield pb.WatchResponse(final_stats=wire.stats_to_proto(self._flow.stream_stats(stream)))
        finally:
            await self._flow.close(stream, tenant_id)

    async def _read_config(self, messages: AsyncGenerator[Request, None]) -> Request:
        """Return the first message of a stream.

        Raises:
            WrongOrder: It carries no config.
            Unavailable: The server drains.
        """
        async for request in messages:
            if request.WhichOneof("payload") == "config":
                return request
            break
        if self._flow.draining:
            raise Unavailable("server is draining; retry on another replica", reason="DRAINING", retry_after_s=0)
        raise WrongOrder("the first message of the stream must be its config", fields={"config": "must come first"})

    @contextmanager
    def _cancel_if_unread(self) -> Generator[None, None, None]:
        """Cancel the stream if the block, a `yield` held by flow control, takes longer than the unread timeout."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not in a task")
        timer = asyncio.get_running_loop().call_later(self._unread_timeout_s, self._cancel_unread, task)
        try:
            yield
        finally:
            timer.cancel()

    def _cancel_unread(self, task: asyncio.Task[object]) -> None:
        _log.warning("stream cancelled: client does not read", timeout_s=self._unread_timeout_s)
        task.cancel()

    async def _respond(self, stream: StreamGate, tenant_id: str, request: pb.WatchRequest) -> pb.WatchResponse | None:
        match request.WhichOneof("payload"):
            case "offers":
                offers = wire.offers_from_proto(request.offers)
                results = await self._flow.decide(stream, offers)
                return pb.WatchResponse(verdicts=wire.verdicts_to_proto(offers, results, request.offers))
            case "upload":
                return self._upload(stream, tenant_id, request.upload)
            case _:
                raise _misplaced("offers or an upload")

    def _upload(self, stream: StreamGate, tenant_id: str, upload: pb.FrameUpload) -> pb.WatchResponse | None:
        key = TrackKey(tenant_id, upload.track.room, upload.track.track)
        try:
            self._flow.upload(stream, key, upload.frame_id, upload.jpeg, _jpeg_size(upload.jpeg))
        except MeshError as error:
            return pb.WatchResponse(rejection=wire.rejection_to_proto(upload.frame_id, upload.track, error))
        return None

    async def Dedup(
        self, request_iterator: AsyncIterator[pb.DedupRequest], context: Context
    ) -> AsyncGenerator[pb.DedupResponse, None]:
        """Answer whole frames with verdicts and, for kept ones, JPEG."""
        tenant_id = identity.current().tenant_id
        messages = self._flow.until_drained(request_iterator)
        config = (await self._read_config(messages)).config
        wire.check_resize(config.resize_longest_px)
        policy, overrides = wire.policy_from_proto(config.policy), wire.overrides_from_proto(config.options)
        stream = self._flow.open(tenant_id, policy, overrides)
        try:
            async for request in messages:
                if request.WhichOneof("payload") != "frame":
                    raise _misplaced("frames")
                response = await self._dedup(stream, tenant_id, config, request.frame)
                with self._cancel_if_unread():
                    yield response
                await self._flow.apply_backpressure(tenant_id, int(response.HasField("rejection")), 1)
            if self._flow.draining:
                yield pb.DedupResponse(final_stats=wire.stats_to_proto(self._flow.stream_stats(stream)))
        finally:
            await self._flow.close(stream, tenant_id)

    async def _dedup(
        self, stream: StreamGate, tenant_id: str, config: pb.DedupConfig, frame: pb.WholeFrame
    ) -> pb.DedupResponse:
        try:
            decision, jpeg = await self._flow.dedup(
                stream,
                WholeFrameOffer(*wire.whole_frame_from_proto(frame)),
                return_jpeg=config.return_jpeg,
                longest_px=config.resize_longest_px,
                tenant_id=tenant_id,
            )
        except MeshError as error:
            return pb.DedupResponse(rejection=wire.rejection_to_proto(frame.frame_id, frame.track, error))
        verdict = wire.verdict_to_proto(frame.frame_id, frame.track, decision)
        return pb.DedupResponse(result=pb.DedupResult(verdict=verdict, jpeg=jpeg))

    async def ListKeyframes(self, request: pb.ListKeyframesRequest, context: Context) -> pb.ListKeyframesResponse:
        """Return the latest keyframes of a track of the caller's tenant."""
        check_track(request.track.room, request.track.track, "track")
        if not 0 <= request.limit <= wire.KEYFRAMES_MAX:
            raise invalid_field("limit", f"is {request.limit}; must be 0 to {wire.KEYFRAMES_MAX}")
        key = TrackKey(identity.current().tenant_id, request.track.room, request.track.track)
        found = await self._flow.list_keyframes(key, request.limit or 1, include_jpeg=request.include_jpeg)
        return wire.keyframes_to_proto(found)

    async def GetStats(self, request: pb.GetStatsRequest, context: Context) -> pb.GetStatsResponse:
        """Return frame counts of the caller's tenant."""
        if request.track and not request.room:
            raise invalid_field("room", "is empty; set the room of the track")
        tenant_id = identity.current().tenant_id
        summary, degraded = await self._flow.get_stats(tenant_id, request.room, request.track)
        return wire.stats_to_proto(summary, request.room, request.track, degraded=degraded)


def _misplaced(wanted: str) -> WrongOrder:
    return WrongOrder(f"after its config, the stream accepts {wanted} only")


def _jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """Return width and height in pixels.

    Raises:
        InvalidArgument: The file is no JPEG, is truncated or exceeds UPLOAD_BYTES_MAX.
    """
    if len(jpeg) > UPLOAD_BYTES_MAX:
        raise too_large("upload.jpeg", f"{len(jpeg)} bytes; send at most {UPLOAD_BYTES_MAX}")
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError as error:
        raise invalid_field("upload.jpeg", "is not a JPEG file; send one") from error
    # Some encoders append zero bytes.
    if not jpeg.rstrip(b"\x00").endswith(_JPEG_END):
        raise invalid_field("upload.jpeg", "is truncated; send a whole JPEG file")
    return int(width), int(height)
