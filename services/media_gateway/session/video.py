"""Video of a room: frames are offered to vision, and the few that were kept lately are held for the next turn."""

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

import structlog
from livekit import rtc

from hocket.client.vision import I420Frame, Keyframe, WatchSession
from services.media_gateway.turns.visible import HeldFrame

_log = structlog.get_logger()


@dataclass(slots=True)
class KeptFrame:
    """A kept frame as JPEG; `kept_at_s` since the epoch."""

    jpeg: bytes
    track: str
    kept_at_s: float
    used: bool = False


class FrameShelf:
    """The latest kept frames of a room."""

    def __init__(self, frames_max: int) -> None:
        """Hold `frames_max` frames."""
        self._frames: deque[KeptFrame] = deque(maxlen=frames_max)

    def keep(self, jpeg: bytes, keyframe: Keyframe) -> None:
        """Hold a frame; the oldest leaves."""
        self._frames.append(KeptFrame(jpeg, keyframe.track, time.time()))

    def newest(self) -> KeptFrame | None:
        """The newest frame, or None."""
        return self._frames[-1] if self._frames else None

    def held(self) -> HeldFrame | None:
        """The newest frame as decisions see it."""
        frame = self.newest()
        return HeldFrame(max(0.0, time.time() - frame.kept_at_s), frame.used) if frame else None

    def forget(self, track: str) -> None:
        """A track has ended: what it showed is shown no longer."""
        kept = [frame for frame in self._frames if frame.track != track]
        self._frames.clear()
        self._frames.extend(kept)


class VideoWatch:
    """Reads every remote video track of a room. AgentSession would drop its frames: they are read here."""

    def __init__(
        self, room: rtc.Room, room_name: str, session: WatchSession, shelf: FrameShelf, speaking: Callable[[], bool]
    ) -> None:
        """Watch tracks over `session`; `speaking` says whether the person is."""
        self._room = room
        self._room_name = room_name
        self._session = session
        self._shelf = shelf
        self._speaking = speaking
        self._readers: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Watch the tracks there are and those to come."""
        self._room.on("track_subscribed", self._on_subscribed)
        self._room.on("track_unsubscribed", self._on_unsubscribed)
        for participant in self._room.remote_participants.values():
            for publication in participant.track_publications.values():
                if publication.track is not None:
                    self._watch(publication.track)

    def counts(self) -> dict[str, int]:
        """Frames since the session began."""
        stats = self._session.stats
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
        """Whether frames are kept by the timer for want of verdicts."""
        return bool(self._readers) and not self._session.connected

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
        self._watch(track)

    def _watch(self, track: rtc.Track) -> None:
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
        # Capacity 1 keeps the newest frame; the default queue has no bound.
        stream = rtc.VideoStream.from_track(track=track, capacity=1, format=rtc.VideoBufferType.I420)
        try:
            async for event in stream:
                picture, quarter_turns = event.frame, cast("int", event.rotation)
                frame = I420Frame(picture.data, picture.width, picture.height, rotation=90 * quarter_turns)
                self._session.submit(
                    self._room_name,
                    track.sid,
                    frame,
                    captured_at_s=event.timestamp_us / 1e6,
                    speaking=self._speaking(),
                )
        finally:
            self._session.forget(self._room_name, track.sid)
            self._shelf.forget(track.sid)
            with contextlib.suppress(RuntimeError):
                await stream.aclose()
