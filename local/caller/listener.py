"""The caller's ear: when the agent is heard, when it falls silent, and all of it on tape."""

from __future__ import annotations

import asyncio
import time

import numpy as np
from livekit import rtc

from local.caller.audio import RATE_HZ, Pcm, loud_span
from local.caller.recording import Tape

# A sentence's pauses stay below this; what is loud after a longer one is a new utterance.
PAUSE_S = 0.6


class Ear:
    """Listens to one track. Times are on the monotonic clock, when a frame arrived."""

    def __init__(self, started_s: float) -> None:
        """Nothing is heard until `listen` runs."""
        self.tape = Tape(started_s)
        self.last_loud_s: float | None = None
        self._utterances: list[tuple[float, float]] = []
        self._heard = asyncio.Condition()

    async def listen(self, track: rtc.Track) -> None:
        """Hear `track` until it ends or the task is cancelled."""
        stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1)
        try:
            async for event in stream:
                await self._hear(np.frombuffer(event.frame.data, np.int16), time.monotonic())
        finally:
            await stream.aclose()

    async def _hear(self, pcm: Pcm, now_s: float) -> None:
        self.tape.add(pcm.copy(), now_s)
        if loud_span(pcm) is None:
            return
        # Counted from the frame's arrival, not from its samples: a caller hears nothing before it is there.
        if self.last_loud_s is None or now_s - self.last_loud_s > PAUSE_S:
            self._utterances.append((now_s, now_s))
        self._utterances[-1] = (self._utterances[-1][0], now_s)
        self.last_loud_s = now_s
        async with self._heard:
            self._heard.notify_all()

    async def onset_after(self, after_s: float, timeout_s: float) -> float | None:
        """When the agent was first heard after `after_s`, waiting up to `timeout_s` seconds; None when it was not.

        Speech that was already going on at `after_s` does not count.
        """
        try:
            async with asyncio.timeout(timeout_s), self._heard:
                await self._heard.wait_for(lambda: self._onset(after_s) is not None)
        except TimeoutError:
            return None
        return self._onset(after_s)

    def _onset(self, after_s: float) -> float | None:
        return next((onset for onset, _ in self._utterances if onset > after_s), None)

    def speaking(self, at_s: float) -> bool:
        """Whether the agent was being heard at `at_s`."""
        return any(onset <= at_s <= end + PAUSE_S for onset, end in self._utterances)

    def end_of_utterance(self, at_s: float) -> float | None:
        """When the utterance that was going on at `at_s` was last heard; None when there was none, or it goes on."""
        ends = [end for onset, end in self._utterances if onset <= at_s <= end + PAUSE_S]
        return ends[0] if ends and time.monotonic() - ends[0] > PAUSE_S else None

    async def silence(self, for_s: float, timeout_s: float) -> bool:
        """Wait until nothing was heard for `for_s` seconds; False when `timeout_s` passed before."""
        give_up_s = time.monotonic() + timeout_s
        while (now_s := time.monotonic()) < give_up_s:
            quiet_s = now_s - self.last_loud_s if self.last_loud_s is not None else for_s
            if quiet_s >= for_s:
                return True
            await asyncio.sleep(min(for_s - quiet_s, give_up_s - now_s))
        return False
