"""Publish a shared screen at 30 frames per second."""

from __future__ import annotations

import asyncio
import time

from livekit import rtc

from local.caller.slides import HEIGHT_PX, WIDTH_PX

FRAMES_PER_S = 30


class ScreenShare:
    """Publishes a video track with the current frame (I420, 1280x720).

    Attributes:
        track: the track to publish.
        frames_published: frames sent so far.
    """

    def __init__(self, first_frame: bytes) -> None:
        """Create source and track; `run` sends the frames."""
        self._source = rtc.VideoSource(WIDTH_PX, HEIGHT_PX, is_screencast=True)
        self.track = rtc.LocalVideoTrack.create_video_track("screen", self._source)
        self._frame = _video_frame(first_frame)
        self.frames_published = 0

    def show(self, frame: bytes) -> None:
        """Replace the current frame with `frame` (I420, 1280x720)."""
        self._frame = _video_frame(frame)

    async def run(self) -> None:
        """Send frames until cancelled. After a stall of the event loop, missed frames are skipped."""
        due_s = time.monotonic()
        while True:
            now_s = time.monotonic()
            self._source.capture_frame(self._frame, timestamp_us=int(now_s * 1e6))
            self.frames_published += 1
            due_s = max(due_s + 1 / FRAMES_PER_S, now_s)
            await asyncio.sleep(due_s - time.monotonic())

    async def close(self) -> None:
        """Release the source."""
        await self._source.aclose()


def _video_frame(i420: bytes) -> rtc.VideoFrame:
    return rtc.VideoFrame(WIDTH_PX, HEIGHT_PX, rtc.VideoBufferType.I420, i420)
