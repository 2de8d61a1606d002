"""Policies `phash`, `dhash`, `ahash`: keep a frame by its Hamming distance to the last keyframe."""

from __future__ import annotations

from services.vision.gating.pacing import FRAME_GRID_S, next_frame_in_s
from services.vision.gating.perceptual_hash import hamming_distance_bits
from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.verdict import DISTANCE, FIRST, STALE, UNCHANGED, Decision, Ruling, Verdict


class HashGate:
    """Gate of one track; compares 64-bit hashes."""

    def __init__(self, options: PolicyOptions) -> None:
        """Start without a keyframe."""
        self._options = options
        self._keyframe_hash: int | None = None
        self._keyframe_at_s = 0.0
        self._active_at_s = 0.0

    def decide(self, at_s: float, frame_hash: int, *, speaking: bool) -> Decision:
        """Decide for one frame.

        Args:
            at_s: Track time of the frame, in seconds, never less than in the call before.
            frame_hash: 64-bit hash of the frame.
            speaking: Whether the track's participant is speaking.

        Returns:
            The decision, with the Hamming distance to the last keyframe.
        """
        distance = 0 if self._keyframe_hash is None else hamming_distance_bits(frame_hash, self._keyframe_hash)
        ruling = self._rule(at_s, distance)
        if ruling.verdict is not Verdict.SKIP:
            self._keyframe_hash, self._keyframe_at_s = frame_hash, at_s
        if ruling.verdict is Verdict.KEEP:
            self._active_at_s = at_s
        wait_s = next_frame_in_s(self._options, at_s, self._active_at_s, speaking=speaking)
        return Decision(ruling, distance, 0, wait_s)

    def _rule(self, at_s: float, distance_bits: int) -> Ruling:
        if self._keyframe_hash is None:
            return FIRST
        if distance_bits > self._options.hash_threshold_bits:
            return DISTANCE
        age_s = at_s - self._keyframe_at_s + FRAME_GRID_S
        return STALE if age_s >= self._options.refresh_interval_s else UNCHANGED
