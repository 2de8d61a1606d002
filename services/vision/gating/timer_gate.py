"""Policy `timer`: keep a frame at even intervals, independent of its content."""

from __future__ import annotations

from services.vision.gating.pacing import FRAME_GRID_S
from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.verdict import FIRST, PACED, TIMER, Decision


class TimerGate:
    """Gate of one track; compares capture times."""

    def __init__(self, options: PolicyOptions) -> None:
        """Start without a keyframe."""
        self._options = options
        self._keyframe_at_s: float | None = None

    def decide(self, at_s: float) -> Decision:
        """Decide for the frame at `at_s` (track time in seconds, never less than in the call before)."""
        interval_s = self._options.timer_interval_s
        if self._keyframe_at_s is None:
            ruling = FIRST
        else:
            ruling = TIMER if at_s - self._keyframe_at_s + FRAME_GRID_S >= interval_s else PACED
        if ruling is not PACED:
            self._keyframe_at_s = at_s
        left_s = interval_s - (at_s - (self._keyframe_at_s or 0.0))
        return Decision(ruling, 0, 0, max(left_s, 0.0))
