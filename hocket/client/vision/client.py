"""Typed client of the vision service: watch sessions, streams of whole frames, keyframes and statistics."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

from hocket.vision.v1 import vision_pb2, vision_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.status import mesh_errors
from hocket.client.vision.keyframe import OnKeyframe
from hocket.client.vision.pacing import PacingRules
from hocket.client.vision.session import WatchSession

SERVICE = "hocket.vision.v1.VisionService"
# Methods that only read, for MeshChannel(idempotent=...), which retries them.
IDEMPOTENT = ((SERVICE, "ListKeyframes"), (SERVICE, "GetStats"))
STREAM_TIMEOUT_S = 4 * 3600.0


class VisionClient:
    """Client of `hocket.vision.v1.VisionService`.

    All methods raise subclasses of `hocket.chassis.errors.MeshError`.

    Example:
        ::

            async with MeshChannel("dns:///vision:50051", lambda: token, idempotent=IDEMPOTENT) as channel:
                client = VisionClient(channel)

                async def frames() -> AsyncIterator[vision_pb2.WholeFrame]:
                    for number, path in enumerate(paths, start=1):
                        yield vision_pb2.WholeFrame(
                            frame_id=number,
                            track=vision_pb2.TrackRef(room="uploads", track="screen"),
                            captured_at_us=int(path.stat().st_mtime * 1e6),
                            format=vision_pb2.PIXEL_FORMAT_PNG,
                            data=path.read_bytes(),
                        )

                async for response in client.dedup(frames()):
                    if response.HasField("rejection"):
                        print("refused:", response.rejection.message)
                    else:
                        print(vision_pb2.Verdict.Name(response.result.verdict.verdict))
                print((await client.get_stats()).total.dedup_rate)
    """

    def __init__(self, channel: MeshChannel) -> None:
        """Call over `channel`, which the caller opens and closes."""
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
        """Return a session for any number of live tracks, to be used with `async with`.

        Args:
            on_keyframe: Called on the event loop with the JPEG and the metadata of each keyframe.
            config: Policy and options of all tracks. Defaults to policy `cells` with the server's options.
            rules: Pacing of the session.
            upload: Whether to upload keyframes. Without uploads `ListKeyframes` returns none of this session and the
                upload budget of a policy does not apply.
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
        """Yield one response per whole frame, in order; a refused frame yields a `rejection` and the stream continues.

        Args:
            frames: Frames of any tracks, with rising ids within a track.
            config: Policy, options and the size of returned JPEGs. Defaults to policy `cells` without JPEGs.
            timeout_s: Deadline of the whole stream, in seconds.

        Raises:
            InvalidArgument: The config is invalid.
            MeshError: The stream failed otherwise.
        """

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
        """Return the latest uploaded keyframes of a track, latest first.

        Args:
            room: Room name.
            track: Track id.
            limit: Most keyframes to return, 1 to 32; the server stores 8 by default.
            include_jpeg: Whether to return the JPEG files, as many as fit into 3.5 MiB.
            timeout_s: Deadline in seconds.

        Raises:
            InvalidArgument: A name or the limit is out of bounds.
            Unavailable: The server's keyframe store did not answer.
        """
        request = vision_pb2.ListKeyframesRequest(
            track=vision_pb2.TrackRef(room=room, track=track), limit=limit, include_jpeg=include_jpeg
        )
        with mesh_errors():
            return await self._stub.ListKeyframes(request, **self._channel.options(timeout_s))

    async def get_stats(
        self, *, room: str = "", track: str = "", timeout_s: float = 2.0
    ) -> vision_pb2.GetStatsResponse:
        """Return frame counts of the caller's tenant.

        Args:
            room: Only this room; empty for all.
            track: Only this track of the room; empty for all.
            timeout_s: Deadline in seconds.

        Raises:
            InvalidArgument: `track` is set without `room`.
        """
        with mesh_errors():
            return await self._stub.GetStats(
                vision_pb2.GetStatsRequest(room=room, track=track), **self._channel.options(timeout_s)
            )
