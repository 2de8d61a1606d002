"""A simulated participant: speaks, types, publishes video, detects sound, and receives turn summaries."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any, Self

import numpy as np
from livekit import rtc

from tests.fakes.waiting import DEADLINE_S

RATE_HZ = 16_000
LOUD = 200
FRAME_MS = 20


def speech_like(seconds: float, seed: int = 7) -> np.ndarray:
    """Return int16 samples that a voice activity detector takes for speech: a glottal buzz through moving formants."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    pitch = 120 + 15 * np.sin(2 * np.pi * 2.1 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    voice = np.zeros_like(t)
    for harmonic in range(1, 30):
        hz = harmonic * 120
        first = 500 + 250 * np.sin(2 * np.pi * 3.3 * t)
        second = 1500 + 500 * np.sin(2 * np.pi * 2.7 * t + 1)
        gain = np.exp(-(((hz - first) / 180) ** 2)) + 0.7 * np.exp(-(((hz - second) / 250) ** 2)) + 0.02
        voice += gain * np.sin(harmonic * phase)
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4.3 * t - np.pi / 2)
    samples = voice * syllables + rng.normal(0, 0.01, len(t))
    return (samples / np.abs(samples).max() * 12000).astype(np.int16)


class Guest:
    """One participant. Use as `async with`."""

    def __init__(self, access: Any) -> None:
        self._access = access
        self.room = rtc.Room()
        self.turns: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.transcripts: list[tuple[str, str]] = []
        self.agent_joined = asyncio.Event()
        self.loud_at_s: list[float] = []
        self._source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=200)
        self._tasks: set[asyncio.Task[None]] = set()
        self._samples: asyncio.Queue[np.ndarray] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self.room.on("track_subscribed", lambda track, *_: self._start(self._record_sound(track)))
        self.room.register_text_stream_handler("hocket.turn", lambda reader, _: self._start(self._read_turn(reader)))
        self.room.register_text_stream_handler(
            "lk.transcription", lambda reader, who: self._start(self._read_transcript(reader, who))
        )
        await self.room.connect(self._access.url, self._access.token)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self.room.local_participant.publish_track(track, options)
        self._start(self._microphone())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()
        await self._source.aclose()

    async def speak(self, samples: np.ndarray) -> float:
        """Speak in real time; return the wall time of the last sample."""
        await self._samples.put(samples)
        await self._samples.join()
        return time.time()

    async def type_text(self, text: str) -> None:
        await self.room.local_participant.send_text(text, topic="lk.chat")

    async def next_turn_summary(self, timeout_s: float = DEADLINE_S) -> dict[str, Any]:
        return await asyncio.wait_for(self.turns.get(), timeout_s)

    async def wait_for_sound(self, after_s: float, timeout_s: float = DEADLINE_S) -> float:
        """Return the wall time of the first sound after `after_s`."""
        async with asyncio.timeout(timeout_s):
            while not (later := [at for at in self.loud_at_s if at > after_s]):  # noqa: ASYNC110 - sound sets no event
                await asyncio.sleep(0.02)
        return later[0]

    async def publish_video(self, pictures: list[np.ndarray], fps: float = 10) -> rtc.LocalVideoTrack:
        """Publish a camera that repeats the RGBA `pictures`."""
        height, width = pictures[0].shape[:2]
        source = rtc.VideoSource(width, height)
        track = rtc.LocalVideoTrack.create_video_track("camera", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA)
        await self.room.local_participant.publish_track(track, options)

        async def capture() -> None:
            for n in range(10**9):
                picture = pictures[n % len(pictures)]
                source.capture_frame(rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, picture.tobytes()))
                await asyncio.sleep(1 / fps)

        self._start(capture())
        return track

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _microphone(self) -> None:
        """Send silence and queued speech in real time."""
        size = RATE_HZ * FRAME_MS // 1000
        silence = np.zeros(size, np.int16)
        due_s = time.monotonic()
        while True:
            with contextlib.suppress(asyncio.QueueEmpty):
                samples = self._samples.get_nowait()
                for start in range(0, len(samples) - size + 1, size):
                    due_s = await self._frame(samples[start : start + size], due_s)
                self._samples.task_done()
            due_s = await self._frame(silence, due_s)

    async def _frame(self, samples: np.ndarray, due_s: float) -> float:
        await self._source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE_HZ, 1, len(samples)))
        due_s = max(due_s + FRAME_MS / 1000, time.monotonic() - 0.1)
        await asyncio.sleep(max(0, due_s - time.monotonic()))
        return due_s

    async def _record_sound(self, track: rtc.Track) -> None:
        if track.kind != rtc.TrackKind.KIND_AUDIO:
            return
        self.agent_joined.set()
        stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1)
        try:
            async for event in stream:
                samples = np.frombuffer(event.frame.data, np.int16).astype(int)
                if np.abs(samples).mean() > LOUD:
                    self.loud_at_s.append(time.time())
        finally:
            await stream.aclose()

    async def _read_turn(self, reader: rtc.TextStreamReader) -> None:
        with contextlib.suppress(Exception):
            self.turns.put_nowait(json.loads(await reader.read_all()))

    async def _read_transcript(self, reader: rtc.TextStreamReader, who: str) -> None:
        with contextlib.suppress(Exception):
            self.transcripts.append((who, await reader.read_all()))
