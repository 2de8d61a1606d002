"""The caller's microphone: 10 ms frames in real time, a quiet room while nothing is said."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import numpy as np
from livekit import rtc

from local.caller.audio import RATE_HZ, Pcm
from local.caller.recording import Tape

FRAME_SAMPLES = RATE_HZ // 100
# With frames paced by a clock the queue stays near empty; it only bounds what a stalled loop may push at once.
_QUEUE_MS = 200
# A quiet room: no microphone delivers digital silence, and recognisers that level loudness are misled by it.
_ROOM_AMPLITUDE = 15
_ROOM_NOISE = np.random.default_rng(1).normal(0, _ROOM_AMPLITUDE, RATE_HZ).astype(np.int16)


@dataclass(frozen=True, slots=True)
class Said:
    """When the first and the last sample of something were handed to the client SDK, on the monotonic clock."""

    started_s: float
    ended_s: float


class Microphone:
    """Publishes what `say` is given, paced by the monotonic clock."""

    def __init__(self, started_s: float) -> None:
        """Make the source and its track; `run` moves the frames."""
        self._source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=_QUEUE_MS)
        self.track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        self.tape = Tape(started_s)
        self.frames_late = 0
        self._sent = 0
        self._waiting: asyncio.Queue[tuple[Pcm, asyncio.Future[Said]]] = asyncio.Queue(maxsize=1)

    async def say(self, pcm: Pcm) -> Said:
        """Speak `pcm` (48 kHz, mono) and return when its last sample has been handed over."""
        done: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        await self._waiting.put((pcm, done))
        return await done

    async def run(self) -> None:
        """Publish frames until cancelled."""
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
                done.set_result(Said(started_s, time.monotonic()))

    async def _send(self, frame: Pcm, due_s: float) -> float:
        """Hand over `frame` when it is due; returns when the next one is."""
        now_s = time.monotonic()
        if now_s < due_s:
            await asyncio.sleep(due_s - now_s)
        elif now_s - due_s > _QUEUE_MS / 1000:
            # After a stall the lost time stays lost, as it would with a real microphone.
            self.frames_late += int((now_s - due_s) * 100)
            due_s = now_s
        start = self._sent % (RATE_HZ // FRAME_SAMPLES) * FRAME_SAMPLES
        self._sent += 1
        noisy = np.clip(frame.astype(np.int32) + _ROOM_NOISE[start : start + FRAME_SAMPLES], -32768, 32767)
        await self._source.capture_frame(rtc.AudioFrame(noisy.astype(np.int16).tobytes(), RATE_HZ, 1, FRAME_SAMPLES))
        self.tape.add(frame, time.monotonic())
        return due_s + FRAME_SAMPLES / RATE_HZ

    async def close(self) -> None:
        """Free the source."""
        await self._source.aclose()
