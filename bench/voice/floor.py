"""Floor of any voice agent's latency: a client that plays back its input, without an agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import numpy as np
from livekit import api, rtc

from local.caller.audio import RATE_HZ, Pcm
from local.caller.call import join_call
from local.mesh import Livekit

_ROOM = "bench-floor"
_BURST_S, _REST_S = 0.3, 0.5


async def round_trips_ms(livekit: Livekit, turns: int) -> list[float]:
    """Return `turns` round trips in milliseconds: from a burst's first sample to its first loud sample back."""
    times = np.arange(int(_BURST_S * RATE_HZ)) / RATE_HZ
    burst: Pcm = (8000 * np.cos(2 * np.pi * 440 * times)).astype(np.int16)
    found: list[float] = []
    async with _echo(livekit), join_call(livekit.url, _token(livekit, "caller"), "caller") as call:
        await asyncio.sleep(1)
        for _ in range(turns):
            said = await call.speak(burst)
            heard_s = await call.listener.wait_for_onset(said.started_s, 2)
            if heard_s is not None:
                found.append((heard_s - said.started_s) * 1000)
            await call.listener.wait_for_silence(_REST_S + 0.2, 3)
    return found


@asynccontextmanager
async def _echo(livekit: Livekit) -> AsyncGenerator[None, None]:
    room = rtc.Room()
    source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=100)
    tasks: set[asyncio.Task[None]] = set()

    async def play_back(track: rtc.Track) -> None:
        async for event in rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1):
            await source.capture_frame(event.frame)

    def on_track(track: rtc.Track, *_: object) -> None:
        tasks.add(asyncio.create_task(play_back(track)))

    room.on("track_subscribed", on_track)
    await room.connect(livekit.url, _token(livekit, "echo"))
    track = rtc.LocalAudioTrack.create_audio_track("echo", source)
    await room.local_participant.publish_track(track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await room.disconnect()
        await source.aclose()


def _token(livekit: Livekit, identity: str) -> str:
    grants = api.VideoGrants(room_join=True, room=_ROOM)
    return api.AccessToken(livekit.api_key, livekit.api_secret).with_identity(identity).with_grants(grants).to_jwt()
