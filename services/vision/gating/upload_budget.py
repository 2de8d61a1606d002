"""Decides how far the keyframes of a track move apart, so that its JPEG bytes stay within a rate."""

from __future__ import annotations

from services.vision.gating.policy_options import BUSY_STRETCHED_S_MAX, UPLOAD_CREDIT_S_MAX

_BITS_PER_BYTE = 8


class UploadBudget:
    """Rate limit (GCRA) on the JPEG bytes of one track; keeps the time until which they use up the rate."""

    def __init__(self, mbit_s: float) -> None:
        """Allow `mbit_s` Mbit/s over time; a quiet track accumulates credit of UPLOAD_CREDIT_S_MAX seconds."""
        self._bits_per_s = mbit_s * 1e6
        self._paid_until_s = 0.0

    def record(self, size_bytes: int, at_s: float) -> None:
        """Charge an upload of `size_bytes`; `at_s` is the track time of the latest frame, in seconds."""
        took_s = size_bytes * _BITS_PER_BYTE / self._bits_per_s
        self._paid_until_s = max(self._paid_until_s, at_s - UPLOAD_CREDIT_S_MAX) + took_s

    def next_keyframe_s(self, keyframe_at_s: float, busy_interval_s: float) -> float:
        """Return the earliest track time of the next keyframe while the picture keeps changing, in seconds.

        Args:
            keyframe_at_s: Track time of the last keyframe, in seconds.
            busy_interval_s: Interval between keyframes within the budget, in seconds.

        Returns:
            `busy_interval_s` after the last keyframe, or later while the budget is exceeded, at most
            BUSY_STRETCHED_S_MAX after it.
        """
        stretched_s = min(self._paid_until_s, keyframe_at_s + BUSY_STRETCHED_S_MAX)
        return max(keyframe_at_s + busy_interval_s, stretched_s)
