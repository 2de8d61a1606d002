"""Decides by the Hamming distance between a frame and the last keyframe (policies `phash`, `dhash`, `ahash`)."""

from __future__ import annotations

from services.vision.gating.pacing import FRAME_GRID_S, next_frame_in_s
from services.vision.gating.perceptual_hash import hamming_distance_bits
from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.verdict import DISTANCE, FIRST, STALE, UNCHANGED, Decision, Ruling, Verdict


class HashGate:
    """Policies `phash`, `dhash`, `ahash`: Hamming distance to the last kept frame."""

    def __init__(self, rules: PolicyOptions) -> None:
        """Begin with no frame kept."""
        self._rules = rules
        self._kept_hash: int | None = None
        self._kept_at_s = 0.0
        self._active_at_s = 0.0

    def decide(self, at_s: float, frame_hash: int, *, speaking: bool) -> Decision:
        """Judge the frame captured at `at_s`."""
        distance = 0 if self._kept_hash is None else hamming_distance_bits(frame_hash, self._kept_hash)
        ruling = self._rule(at_s, distance)
        if ruling.verdict is not Verdict.SKIP:
            self._kept_hash, self._kept_at_s = frame_hash, at_s
        if ruling.verdict is Verdict.KEEP:
            self._active_at_s = at_s
        return Decision(ruling, distance, 0, next_frame_in_s(self._rules, at_s, self._active_at_s, speaking=speaking))

    def _rule(self, at_s: float, distance: int) -> Ruling:
        if self._kept_hash is None:
            return FIRST
        if distance > self._rules.hash_threshold_bits:
            return DISTANCE
        return STALE if at_s - self._kept_at_s + FRAME_GRID_S >= self._rules.refresh_interval_s else UNCHANGED
