"""A recording that grows as frames come, each laid where the caller's clock says it belongs."""

from __future__ import annotations

import numpy as np

from local.caller.audio import RATE_HZ, Pcm

SECONDS_MAX = 900
# Frames come every 10 ms with jitter; only a gap longer than this is silence and not a late frame.
_GAP_S = 0.2


class Tape:
    """At most 15 minutes at 48 kHz; what comes later is not kept."""

    def __init__(self, started_s: float) -> None:
        """Begin at `started_s` on the clock whose times `add` is given."""
        self._started_s = started_s
        self._frames: list[Pcm] = []
        self._length = 0

    def add(self, pcm: Pcm, now_s: float) -> None:
        """Lay `pcm`, which ends at `now_s`, after what is there, with silence where there was a gap."""
        belongs = int((now_s - self._started_s) * RATE_HZ) - len(pcm)
        if belongs - self._length > _GAP_S * RATE_HZ:
            self._lay(np.zeros(min(belongs, SECONDS_MAX * RATE_HZ) - self._length, np.int16))
        self._lay(pcm)

    def _lay(self, pcm: Pcm) -> None:
        if self._length + len(pcm) <= SECONDS_MAX * RATE_HZ:
            self._frames.append(pcm)
            self._length += len(pcm)

    def pcm(self) -> Pcm:
        """All of it: (samples,) int16."""
        return np.concatenate(self._frames) if self._frames else np.zeros(0, np.int16)
