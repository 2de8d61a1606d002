"""Decides for one track without the service: examine a frame or not, offer or suppress it, keep it by the timer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hocket.client.vision.thumbnail import Thumbnail

# A frame may come this much before its time, as a share of the interval and at most in seconds. Without it the jitter
# of a 30 fps camera would halve the frame rate.
_EARLY_SHARE = 0.35
_EARLY_S_MAX = 0.010
# Frames of a track come out of order by less than this; a larger step back is a clock jump.
_CLOCK_JUMP_S_MIN = 1.0
# Largest difference of a cell between two thumbnails of one picture.
_ROUNDING_LEVELS = 1


@dataclass(frozen=True, slots=True)
class PacingRules:
    """Pacing of a session; defaults suit live video.

    Attributes:
        verdict_timeout_s: Time without a verdict after which the fallback timer keeps frames, in seconds.
        fallback_interval_s: Interval of the fallback timer, in seconds.
        look_interval_s_max: Longest interval between examined frames, in seconds. An idle track is wanted every 0.2 s;
            examining it more often (0.2 ms each) finds a cut sooner.
        heartbeat_interval_s: Longest interval between offers of an unchanged picture, in seconds, so that the service
            can refresh it.
        drift_interval_s: The same for a picture that moved within the noise floor, because it may have drifted past the
            service's threshold.
        noise_floor_levels: Largest difference of a cell that is no motion, in levels (0 to 255).
    """

    verdict_timeout_s: float = 0.050
    fallback_interval_s: float = 0.25
    look_interval_s_max: float = 0.1
    heartbeat_interval_s: float = 1.0
    drift_interval_s: float = 0.4
    noise_floor_levels: int = 3


class TrackPacer:
    """Pacing of one track. Times are of the capture clock, in seconds; the clock may jump."""

    def __init__(self, rules: PacingRules) -> None:
        """Start with the first frame wanted at once."""
        self._rules = rules
        self._interval_s = 0.0
        self._examined_at_s: float | None = None
        self._offered: Thumbnail | None = None
        self._offered_at_s = 0.0
        self._speaking = False
        self._settling = True
        self._keyframe_at_s: float | None = None
        self.suppressed = 0

    def should_examine(self, at_s: float, *, speaking: bool = False) -> bool:
        """Whether to make a thumbnail of the frame captured at `at_s`; other frames cost nothing."""
        self._detect_clock_jump(at_s)
        if self._examined_at_s is None or at_s < self._examined_at_s or speaking != self._speaking:
            return True
        interval_s = min(self._interval_s, self._rules.look_interval_s_max)
        return at_s - self._examined_at_s >= interval_s - min(_EARLY_S_MAX, _EARLY_SHARE * interval_s)

    def should_offer(self, thumbnail: Thumbnail, at_s: float, *, speaking: bool = False) -> bool:
        """Whether to offer an examined frame; False counts it as suppressed.

        The thumbnail is compared with the last offered one, so that a slow fade accumulates until it is offered.

        Args:
            thumbnail: Thumbnail of the frame.
            at_s: Capture time of the frame.
            speaking: Whether the track's participant is speaking; a change is offered at once.
        """
        self._examined_at_s = at_s
        if not self._settling and speaking == self._speaking and self._matches_offered(thumbnail, at_s):
            self.suppressed += 1
            return False
        self._offered, self._offered_at_s, self._speaking = thumbnail, at_s, speaking
        return True

    def _matches_offered(self, thumbnail: Thumbnail, at_s: float) -> bool:
        rules, since_offer_s = self._rules, at_s - self._offered_at_s
        if self._offered is None or not 0 <= since_offer_s < rules.heartbeat_interval_s:
            return False
        levels = largest_difference_levels(self._offered, thumbnail)
        within_noise = levels <= rules.noise_floor_levels and since_offer_s < rules.drift_interval_s
        return levels <= _ROUNDING_LEVELS or within_noise

    def take_suppressed(self) -> int:
        """Return the number of frames suppressed since the last offer and reset it."""
        count, self.suppressed = self.suppressed, 0
        return count

    def record_verdict(self, *, next_frame_in_s: float, settling: bool) -> None:
        """Adopt the interval of a verdict; while a change settles, every examined frame is offered."""
        self._interval_s = next_frame_in_s
        self._settling = settling

    def record_keyframe(self, at_s: float) -> None:
        """Restart the fallback timer at a keyframe captured at `at_s`."""
        self._keyframe_at_s = at_s if self._keyframe_at_s is None else max(at_s, self._keyframe_at_s)

    def should_keep_by_timer(self, at_s: float) -> bool:
        """Whether the fallback timer keeps the frame captured at `at_s`."""
        self._detect_clock_jump(at_s)
        if self._keyframe_at_s is None:
            return True
        return at_s - self._keyframe_at_s >= self._rules.fallback_interval_s - _EARLY_S_MAX

    def _detect_clock_jump(self, at_s: float) -> None:
        """Restart the fallback timer after the clock jumped back; its last time is of the clock before."""
        if self._keyframe_at_s is not None and at_s < self._keyframe_at_s - _CLOCK_JUMP_S_MIN:
            self._keyframe_at_s = None

    def reset(self) -> None:
        """Offer the next examined frame, because the service does not know the track (a new stream)."""
        self._offered = None
        self._settling = True
        self._interval_s = min(self._interval_s, self._rules.look_interval_s_max)


def largest_difference_levels(a: Thumbnail, b: Thumbnail) -> int:
    """Return the largest difference of any cell, 0 to 255 levels; 255 where the frames differ in size."""
    if (a.width, a.height) != (b.width, b.height) or len(a.chroma) != len(b.chroma):
        return 255
    return max(_largest_difference(a.luma, b.luma), _largest_difference(a.chroma, b.chroma))


def _largest_difference(a: bytes, b: bytes) -> int:
    if a == b:
        return 0
    x, y = np.frombuffer(a, np.uint8), np.frombuffer(b, np.uint8)
    return int((np.maximum(x, y) - np.minimum(x, y)).max())
