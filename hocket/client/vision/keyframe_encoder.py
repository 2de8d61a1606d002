"""Encodes keyframes to JPEG in a thread, in order, with a bounded queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hocket.client.vision.frame import Frame
from hocket.client.vision.jpeg import encode_jpeg
from hocket.client.vision.keyframe import Keyframe
from hocket.client.vision.watched_track import WatchedTrack

# Beyond this many queued keyframes, a newer one of a track replaces its older one.
ENCODES_QUEUED_MAX = 32
UPLOAD_BYTES_MAX = 1024 * 1024
_QUALITIES = (85, 70, 50, 30)


@dataclass(frozen=True, slots=True, eq=False)
class _Queued:
    track: WatchedTrack
    frame: Frame
    keyframe: Keyframe
    deliver: Callable[[bytes, Keyframe], None]


class KeyframeEncoder:
    """Queue of keyframes in front of one encoder thread.

    One thread keeps the order and leaves the other cores to the event loop.
    """

    def __init__(self, is_watched: Callable[[WatchedTrack], bool]) -> None:
        """Start empty.

        Args:
            is_watched: Whether a track is still part of the session; keyframes of other tracks are dropped.
        """
        self._is_watched = is_watched
        self._queue: deque[_Queued] = deque()
        self._encoding: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "vision-jpeg")

    @property
    def queued(self) -> int:
        """Keyframes that wait for the thread."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Whether all keyframes are encoded and delivered."""
        return self._encoding is None or self._encoding.done()

    def add(
        self, track: WatchedTrack, frame: Frame, keyframe: Keyframe, deliver: Callable[[bytes, Keyframe], None]
    ) -> bool:
        """Queue a keyframe.

        Args:
            track: Track of the keyframe.
            frame: Frame to encode.
            keyframe: Metadata of the frame.
            deliver: Called on the event loop with the JPEG and `keyframe`.

        Returns:
            Whether it replaced an older one of its track with the same `deliver`, because the queue was full.
        """
        older = None
        if len(self._queue) >= ENCODES_QUEUED_MAX:
            older = next((q for q in self._queue if q.track is track and q.deliver == deliver), None)
            if older is not None:
                self._queue.remove(older)
        self._queue.append(_Queued(track, frame, keyframe, deliver))
        if self.idle:
            self._encoding = asyncio.create_task(self._encode_all(), name="vision-encode")
        return older is not None

    async def drain(self, timeout_s: float) -> None:
        """Wait until all keyframes are delivered, for `timeout_s` seconds at most."""
        if self._encoding:
            await asyncio.wait([self._encoding], timeout=timeout_s)

    def close(self) -> None:
        """Drop queued keyframes and stop the thread."""
        if self._encoding:
            self._encoding.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _encode_all(self) -> None:
        while self._queue:
            queued = self._queue.popleft()
            if not self._is_watched(queued.track):
                continue
            loop = asyncio.get_running_loop()
            jpeg = await loop.run_in_executor(self._thread, _encode_within_limit, queued.frame)
            # The caller may have forgotten the track during the encoding.
            if self._is_watched(queued.track):
                queued.deliver(jpeg, queued.keyframe)


def _encode_within_limit(frame: Frame) -> bytes:
    """Return a JPEG at the first quality that fits UPLOAD_BYTES_MAX, or at the last one."""
    jpeg = b""
    for quality in _QUALITIES:
        jpeg = encode_jpeg(frame, quality=quality)
        if len(jpeg) <= UPLOAD_BYTES_MAX:
            break
    return jpeg
