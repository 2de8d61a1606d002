"""Publish speech in real time as 10 ms frames, with room noise between questions."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import numpy as np
from livekit import rtc

from local.caller.audio import RATE_HZ, Pcm
from local.caller.recording import Recording

FRAME_SAMPLES = RATE_HZ // 100
# Frames are paced by the clock, so the queue is nearly empty; the limit matters after the loop stalled.
_QUEUE_MS = 200
# Noise of a quiet room: no microphone delivers digital silence, and it misleads recognisers that normalise loudness.
_ROOM_AMPLITUDE = 15
_ROOM_NOISE = np.random.default_rng(1).normal(0, _ROOM_AMPLITUDE, RATE_HZ).astype(np.int16)


@dataclass(frozen=True, slots=True)
class SpeechInterval:
    """Monotonic times at which the first and the last sample were handed to the client SDK."""

    started_s: float
    ended_s: float


class Microphone:
    """Publishes an audio track, paced by the monotonic clock.

    Attributes:
        track: the track to publish.
        recording: everything that was sent.
        frames_late: 10 ms frames lost because the event loop stalled.
    """

    def __init__(self, started_s: float) -> None:
        """Create source and track; `run` sends the frames.

        Args:
            started_s: monotonic time at which the recording starts.
        """
        self._source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=_QUEUE_MS)
        self.track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        self.recording = Recording(started_s)
        self.frames_late = 0
        self._sent = 0
        self._waiting: asyncio.Queue[tuple[Pcm, asyncio.Future[SpeechInterval]]] = asyncio.Queue(maxsize=1)

    async def speak(self, pcm: Pcm) -> SpeechInterval:
        """Speak `pcm` (48 kHz mono) and return after its last sample was handed to the SDK."""
        done: asyncio.Future[SpeechInterval] = asyncio.get_running_loop().create_future()
        await self._waiting.put((pcm, done))
        return await done

    async def run(self) -> None:
        """Send frames until cancelled."""
        due_s = time.monotonic()
        while True:
            if self._waiting.empty():
                due_s = await self._send(np.zeros(FRAME_SAMPLES, np.int16), due_s)
                continue
            pcm, done = self._waiting.get_nowait()
            started_s = time.monotonic()
            for start in range(0, len(pcm), FRAME_SAMPLES):
                frame = pcm[start : start + FRAME_SAMPLES]
                due_s = await self._send(np.pad(frame, (0, FRAME_SAMPLES - len(frame))), due_s)
            if not done.done():
                done.set_result(SpeechInterval(started_s, time.monotonic()))

    async def _send(self, frame: Pcm, due_s: float) -> float:
        """Hand `frame` to the SDK when it is due; return the time at which the next one is due."""
        now_s = time.monotonic()
        if now_s < due_s:
            await asyncio.sleep(due_s - now_s)
        elif now_s - due_s > _QUEUE_MS / 1000:
            # Frames of a stall are dropped, as with a real microphone.
            self.frames_late += int((now_s - due_s) * 100)
            due_s = now_s
        start = self._sent % (RATE_HZ // FRAME_SAMPLES) * FRAME_SAMPLES
        self._sent += 1
        noisy = np.clip(frame.astype(np.int32) + _ROOM_NOISE[start : start + FRAME_SAMPLES], -32768, 32767)
        await self._source.capture_frame(rtc.AudioFrame(noisy.astype(np.int16).tobytes(), RATE_HZ, 1, FRAME_SAMPLES))
        self.recording.append(frame, time.monotonic())
        return due_s + FRAME_SAMPLES / RATE_HZ

    async def close(self) -> None:
        """Release the source."""
        await self._source.aclose()
