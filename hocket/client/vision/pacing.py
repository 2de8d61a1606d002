"""Decides for one track, without a server: look at this frame or not, offer it or suppress it, keep it unasked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hocket.client.vision.thumbnail import Thumbnail

# A frame may come this much before its time, as a share of the interval and in seconds at most: with none, the
# jitter of a 30 fps camera would halve a pace of 30 fps.
_EARLY_SHARE = 0.35
_EARLY_S_MAX = 0.010
# Frames of one track overtake each other by less; a clock that goes back by more has jumped.
_JUMP_S_MIN = 1.0
# The same picture twice may differ by this much in a cell.
_ROUNDING_LEVELS = 1


@dataclass(frozen=True, slots=True)
class PacingRules:
    """What a caller may set; times in seconds, levels of 0 to 255."""

    # Without a verdict for this long, frames are kept by the timer.
    verdict_timeout_s: float = 0.050
    fallback_interval_s: float = 0.25
    # While the server asks for 5 fps, the caller's own look (0.2 ms) still comes this often and finds a cut sooner.
    look_interval_s_max: float = 0.1
    # A still picture is offered this often, so that the server can refresh it; one that moved within the noise floor
    # sooner, because it may have drifted past the server's threshold.
    heartbeat_interval_s: float = 1.0
    drift_interval_s: float = 0.4
    noise_floor_levels: int = 3


class TrackPacer:
    """The pace of one track. Times are the capture clock's, in seconds; they may jump."""

    def __init__(self, rules: PacingRules) -> None:
        """Begin with the first frame wanted at once."""
        self._rules = rules
        self._interval_s = 0.0
        self._looked_at_s: float | None = None
        self._offered: Thumbnail | None = None
        self._offered_at_s = 0.0
        self._speaking = False
        self._unsettled = True
        self._kept_at_s: float | None = None
        self.suppressed = 0

    def wants(self, at_s: float, *, speaking: bool = False) -> bool:
        """Whether the frame captured at `at_s` is to be looked at; the rest costs nothing at all."""
        self._notice_jump(at_s)
        if self._looked_at_s is None or at_s < self._looked_at_s or speaking != self._speaking:
            return True
        interval_s = min(self._interval_s, self._rules.look_interval_s_max)
        return at_s - self._looked_at_s >= interval_s - min(_EARLY_S_MAX, _EARLY_SHARE * interval_s)

    def offers(self, thumbnail: Thumbnail, at_s: float, *, speaking: bool = False) -> bool:
        """Whether the frame is offered; False counts it as suppressed.

        The comparison is with the last *offered* thumbnail: a slow fade adds up until it is offered.
        """
        self._looked_at_s = at_s
        if not self._unsettled and speaking == self._speaking and self._shows_what_was_offered(thumbnail, at_s):
            self.suppressed += 1
            return False
        self._offered, self._offered_at_s, self._speaking = thumbnail, at_s, speaking
        return True

    def _shows_what_was_offered(self, thumbnail: Thumbnail, at_s: float) -> bool:
        rules, idle_s = self._rules, at_s - self._offered_at_s
        if self._offered is None or not 0 <= idle_s < rules.heartbeat_interval_s:
            return False
        levels = moved_levels(self._offered, thumbnail)
        return levels <= _ROUNDING_LEVELS or (levels <= rules.noise_floor_levels and idle_s < rules.drift_interval_s)

    def take_suppressed(self) -> int:
        """Frames suppressed since the last offer, to be reported with the next."""
        count, self.suppressed = self.suppressed, 0
        return count

    def answered(self, *, next_frame_in_s: float, settled: bool) -> None:
        """A verdict came: its pace holds, and while the server waits for a change to settle every look is offered."""
        self._interval_s = next_frame_in_s
        self._unsettled = not settled

    def kept(self, at_s: float) -> None:
        """The frame captured at `at_s` was kept, by whoever's decision."""
        self._kept_at_s = at_s if self._kept_at_s is None else max(at_s, self._kept_at_s)

    def keeps_unasked(self, at_s: float) -> bool:
        """Whether the timer keeps this frame, for the time in which no verdict comes."""
        self._notice_jump(at_s)
        if self._kept_at_s is None:
            return True
        return at_s - self._kept_at_s >= self._rules.fallback_interval_s - _EARLY_S_MAX

    def _notice_jump(self, at_s: float) -> None:
        """A clock that jumped back: what was kept before says nothing of what is kept from here on."""
        if self._kept_at_s is not None and at_s < self._kept_at_s - _JUMP_S_MIN:
            self._kept_at_s = None

    def reset(self) -> None:
        """The server forgot the track (a new stream): the next look is offered."""
        self._offered = None
        self._unsettled = True
        self._interval_s = min(self._interval_s, self._rules.look_interval_s_max)


def moved_levels(before: Thumbnail, now: Thumbnail) -> int:
    """The largest difference of any cell, 0 to 255; 255 where the frame's size changed."""
    if (before.width, before.height) != (now.width, now.height) or len(before.chroma) != len(now.chroma):
        return 255
    return max(_largest_difference(before.luma, now.luma), _largest_difference(before.chroma, now.chroma))


def _largest_difference(before: bytes, now: bytes) -> int:
    if before == now:
        return 0
    a, b = np.frombuffer(before, np.uint8), np.frombuffer(now, np.uint8)
    return int((np.maximum(a, b) - np.minimum(a, b)).max())
