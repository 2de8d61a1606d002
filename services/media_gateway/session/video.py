"""Video of a room: offers the frames of remote tracks to vision, and holds the kept ones for the next turn."""

# livekit and redis leave parameters of their generics open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from livekit import rtc

from hocket.client.vision import I420Frame, Keyframe, WatchSession
from services.media_gateway.turns.frame_attachment import FrameState


@dataclass(slots=True)
class KeptFrame:
    """A frame that vision kept.

    Attributes:
        jpeg: The encoded image.
        track: LiveKit id of the track.
        kept_at_s: Time of the verdict, seconds since the epoch.
        used: Whether a turn has carried the frame.
    """

    jpeg: bytes
    track: str
    kept_at_s: float
    used: bool = False


class FrameBuffer:
    """The most recently kept frames of a room."""

    def __init__(self, frames_max: int) -> None:
        """Hold up to `frames_max` frames."""
        self._frames: deque[KeptFrame] = deque(maxlen=frames_max)

    def add(self, jpeg: bytes, keyframe: Keyframe) -> None:
        """Add a kept frame and drop the oldest if the buffer is full."""
        self._frames.append(KeptFrame(jpeg, keyframe.track, time.time()))

    def newest(self) -> KeptFrame | None:
        """Return the newest frame, or None."""
        return self._frames[-1] if self._frames else None

    def newest_state(self) -> FrameState | None:
        """Return age and use of the newest frame, or None."""
        frame = self.newest()
        return FrameState(max(0.0, time.time() - frame.kept_at_s), frame.used) if frame else None

    def drop_track(self, track: str) -> None:
        """Drop the frames of a track that has ended."""
        kept = [frame for frame in self._frames if frame.track != track]
        self._frames.clear()
        self._frames.extend(kept)


class VideoReader:
    """Reads every remote video track of a room and submits its frames to a watch session of vision."""

    def __init__(
        self,
        room: rtc.Room,
        room_name: str,
        watch: WatchSession,
        frames: FrameBuffer,
        user_is_speaking: Callable[[], bool],
    ) -> None:
        """Read the tracks of one room.

        Args:
            room: Connected LiveKit room.
            room_name: Name of the room within the tenant.
            watch: Open session with vision.
            frames: Buffer from which frames of ended tracks are dropped.
            user_is_speaking: Returns whether the user is speaking now; vision keeps the frame rate high then.
        """
        self._room = room
        self._room_name = room_name
        self._watch = watch
        self._frames = frames
        self._user_is_speaking = user_is_speaking
        self._readers: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Read the present tracks and those that are subscribed later."""
        self._room.on("track_subscribed", self._on_subscribed)
        self._room.on("track_unsubscribed", self._on_unsubscribed)
        for participant in self._room.remote_participants.values():
            for publication in participant.track_publications.values():
                if publication.track is not None:
                    self._start_reader(publication.track)

    def counts(self) -> dict[str, int]:
        """Return frame counts and JPEG bytes since the start of the session."""
        stats = self._watch.stats
        return {
            "seen": stats.seen,
            "offered": stats.offered,
            "kept": stats.kept + stats.refreshed,
            "kept_by_timer": stats.kept_by_timer,
            "suppressed": stats.suppressed,
            "jpeg_bytes": stats.jpeg_bytes,
        }

    @property
    def degraded(self) -> bool:
        """Whether frames are kept by the timer because vision gives no verdicts."""
        return bool(self._readers) and not self._watch.connected

    async def close(self) -> None:
        """Stop reading."""
        self._room.off("track_subscribed", self._on_subscribed)
        self._room.off("track_unsubscribed", self._on_unsubscribed)
        readers = list(self._readers.values())
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    def _on_subscribed(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,  # noqa: ARG002 - the event's signature
        participant: rtc.RemoteParticipant,  # noqa: ARG002 - the event's signature
    ) -> None:
        self._start_reader(track)

    def _start_reader(self, track: rtc.Track) -> None:
        if track.kind == rtc.TrackKind.KIND_VIDEO and track.sid not in self._readers:
            self._readers[track.sid] = asyncio.create_task(self._read(track), name=f"video-{track.sid}")

    def _on_unsubscribed(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,  # noqa: ARG002 - the event's signature
        participant: rtc.RemoteParticipant,  # noqa: ARG002 - the event's signature
    ) -> None:
        reader = self._readers.pop(track.sid, None)
        if reader:
            reader.cancel()

    async def _read(self, track: rtc.Track) -> None:
        # Capacity 1 keeps the newest frame only; the default queue is unbounded.
        stream = rtc.VideoStream.from_track(track=track, capacity=1, format=rtc.VideoBufferType.I420)
        try:
            async for event in stream:
                picture, quarter_turns = event.frame, cast("int", event.rotation)
                frame = I420Frame(picture.data, picture.width, picture.height, rotation=90 * quarter_turns)
                self._watch.submit(
                    self._room_name,
                    track.sid,
                    frame,
                    captured_at_s=event.timestamp_us / 1e6,
                    speaking=self._user_is_speaking(),
                )
        finally:
            self._watch.forget(self._room_name, track.sid)
            self._frames.drop_track(track.sid)
            with contextlib.suppress(RuntimeError):
                await stream.aclose()
