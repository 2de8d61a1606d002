"""A recording that places each frame by its arrival time."""

from __future__ import annotations

import numpy as np

from local.caller.audio import RATE_HZ, Pcm

SECONDS_MAX = 900
# Frames arrive every 10 ms with jitter; a longer gap than this is silence.
_GAP_S = 0.2


class Recording:
    """At most 15 minutes at 48 kHz; later frames are dropped."""

    def __init__(self, started_s: float) -> None:
        """Start an empty recording.

        Args:
            started_s: time of the first sample, on the same clock as in `append`.
        """
        self._started_s = started_s
        self._frames: list[Pcm] = []
        self._length = 0

    def append(self, pcm: Pcm, now_s: float) -> None:
        """Append `pcm`, which ends at `now_s`, after silence for a gap of more than 0.2 s."""
        offset = int((now_s - self._started_s) * RATE_HZ) - len(pcm)
        if offset - self._length > _GAP_S * RATE_HZ:
            self._extend(np.zeros(min(offset, SECONDS_MAX * RATE_HZ) - self._length, np.int16))
        self._extend(pcm)

    def _extend(self, pcm: Pcm) -> None:
        if self._length + len(pcm) <= SECONDS_MAX * RATE_HZ:
            self._frames.append(pcm)
            self._length += len(pcm)

    def samples(self) -> Pcm:
        """Return the recording: (samples,) int16."""
        return np.concatenate(self._frames) if self._frames else np.zeros(0, np.int16)
