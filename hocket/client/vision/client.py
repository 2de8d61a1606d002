"""The vision service for callers: unary calls, a stream of whole frames, and sessions that watch live tracks."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

from hocket.vision.v1 import vision_pb2, vision_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.status import mesh_errors
from hocket.client.vision.pacing import PacingRules
from hocket.client.vision.session import WatchSession
from hocket.client.vision.watched import OnKeyframe

SERVICE = "hocket.vision.v1.VisionService"
# For MeshChannel(idempotent=...): these read only.
IDEMPOTENT = ((SERVICE, "ListKeyframes"), (SERVICE, "GetStats"))
STREAM_TIMEOUT_S = 4 * 3600.0


class VisionClient:
    """Calls `hocket.vision.v1.VisionService`; every failure is a `hocket.chassis.errors.MeshError`."""

    def __init__(self, channel: MeshChannel) -> None:
        """Call over `channel`, which the caller owns and closes."""
        self._channel = channel
        self._stub = vision_pb2_grpc.VisionServiceStub(channel.channel)

    def watch(
        self,
        on_keyframe: OnKeyframe,
        *,
        config: vision_pb2.WatchConfig | None = None,
        rules: PacingRules | None = None,
        upload: bool = True,
    ) -> WatchSession:
        """A session over any number of tracks; use as `async with`. It reconnects by itself until it is closed.

        `on_keyframe(jpeg, keyframe)` is called on the event loop for every kept frame. With `upload` false kept frames
        stay with the caller, and `ListKeyframes` knows nothing of them.
        """
        return WatchSession(
            self._channel,
            on_keyframe,
            config=config or vision_pb2.WatchConfig(),
            rules=rules or PacingRules(),
            upload=upload,
        )

    async def dedup(
        self,
        frames: AsyncIterable[vision_pb2.WholeFrame],
        *,
        config: vision_pb2.DedupConfig | None = None,
        timeout_s: float = STREAM_TIMEOUT_S,
    ) -> AsyncIterator[vision_pb2.DedupResponse]:
        """Verdicts over whole frames, in their order; a refused frame is a `rejection` and the stream goes on."""

        async def requests() -> AsyncIterator[vision_pb2.DedupRequest]:
            yield vision_pb2.DedupRequest(config=config or vision_pb2.DedupConfig())
            async for frame in frames:
                yield vision_pb2.DedupRequest(frame=frame)

        with mesh_errors():
            async for response in self._stub.Dedup(requests(), **self._channel.options(timeout_s)):
                yield response

    async def list_keyframes(
        self, room: str, track: str, *, limit: int = 1, include_jpeg: bool = True, timeout_s: float = 2.0
    ) -> vision_pb2.ListKeyframesResponse:
        """The latest kept frames of a track, latest first."""
        request = vision_pb2.ListKeyframesRequest(
            track=vision_pb2.TrackRef(room=room, track=track), limit=limit, include_jpeg=include_jpeg
        )
        with mesh_errors():
            return await self._stub.ListKeyframes(request, **self._channel.options(timeout_s))

    async def get_stats(
        self, *, room: str = "", track: str = "", timeout_s: float = 2.0
    ) -> vision_pb2.GetStatsResponse:
        """Counts of the tenant, of one room or of one track."""
        with mesh_errors():
            return await self._stub.GetStats(
                vision_pb2.GetStatsRequest(room=room, track=track), **self._channel.options(timeout_s)
            )
