"""Record the audio of the agent and detect the start and end of its utterances."""

from __future__ import annotations

import asyncio
import time

import numpy as np
from livekit import rtc

from local.caller.audio import RATE_HZ, Pcm, loud_span
from local.caller.recording import Recording

# Pauses within a sentence are shorter; sound after a longer pause is a new utterance.
PAUSE_S = 0.6


class AudioListener:
    """Listens to one audio track. All times are monotonic arrival times of frames.

    Attributes:
        recording: everything received.
        last_loud_s: time of the last loud frame; None before the first.
    """

    def __init__(self, started_s: float) -> None:
        """Create a listener; `listen` receives the audio.

        Args:
            started_s: monotonic time at which the recording starts.
        """
        self.recording = Recording(started_s)
        self.last_loud_s: float | None = None
        self._utterances: list[tuple[float, float]] = []
        self._loud_frame = asyncio.Condition()

    async def listen(self, track: rtc.Track) -> None:
        """Receive `track` until it ends or the task is cancelled."""
        stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1)
        try:
            async for event in stream:
                await self._add_frame(np.frombuffer(event.frame.data, np.int16), time.monotonic())
        finally:
            await stream.aclose()

    async def _add_frame(self, pcm: Pcm, now_s: float) -> None:
        self.recording.append(pcm.copy(), now_s)
        if loud_span(pcm) is None:
            return
        # Arrival time of the frame, not position of the sample: nothing is audible before the frame arrives.
        if self.last_loud_s is None or now_s - self.last_loud_s > PAUSE_S:
            self._utterances.append((now_s, now_s))
        self._utterances[-1] = (self._utterances[-1][0], now_s)
        self.last_loud_s = now_s
        async with self._loud_frame:
            self._loud_frame.notify_all()

    async def wait_for_onset(self, after_s: float, timeout_s: float) -> float | None:
        """Return the start of the first utterance that begins after `after_s`, or None after the timeout.

        Args:
            after_s: monotonic time; an utterance in progress at that time does not count.
            timeout_s: limit in seconds.
        """
        try:
            async with asyncio.timeout(timeout_s), self._loud_frame:
                await self._loud_frame.wait_for(lambda: self._onset(after_s) is not None)
        except TimeoutError:
            return None
        return self._onset(after_s)

    def _onset(self, after_s: float) -> float | None:
        return next((onset for onset, _ in self._utterances if onset > after_s), None)

    def is_speaking(self, at_s: float) -> bool:
        """Return True if an utterance was in progress at `at_s`."""
        return any(onset <= at_s <= end + PAUSE_S for onset, end in self._utterances)

    def utterance_end(self, at_s: float) -> float | None:
        """Return the end of the utterance in progress at `at_s`, or None if there was none or it continues."""
        ends = [end for onset, end in self._utterances if onset <= at_s <= end + PAUSE_S]
        return ends[0] if ends and time.monotonic() - ends[0] > PAUSE_S else None

    async def wait_for_silence(self, for_s: float, timeout_s: float) -> bool:
        """Wait for `for_s` seconds of silence; return False after `timeout_s` seconds."""
        deadline_s = time.monotonic() + timeout_s
        while (now_s := time.monotonic()) < deadline_s:
            quiet_s = now_s - self.last_loud_s if self.last_loud_s is not None else for_s
            if quiet_s >= for_s:
                return True
            await asyncio.sleep(min(for_s - quiet_s, deadline_s - now_s))
        return False
