"""Decides by elapsed time alone (policy `timer`)."""

from __future__ import annotations

from services.vision.gating.pacing import FRAME_GRID_S
from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.verdict import FIRST, PACED, TIMER, Decision


class TimerGate:
    """Policy `timer`: a frame at even intervals, whatever it shows."""

    def __init__(self, rules: PolicyOptions) -> None:
        """Begin with no frame kept."""
        self._rules = rules
        self._kept_at_s: float | None = None

    def decide(self, at_s: float) -> Decision:
        """Judge the frame captured at `at_s`."""
        interval_s = self._rules.timer_interval_s
        if self._kept_at_s is None:
            ruling = FIRST
        else:
            ruling = TIMER if at_s - self._kept_at_s + FRAME_GRID_S >= interval_s else PACED
        if ruling is not PACED:
            self._kept_at_s = at_s
        left_s = interval_s - (at_s - (self._kept_at_s or 0.0))
        return Decision(ruling, 0, 0, max(left_s, 0.0))
