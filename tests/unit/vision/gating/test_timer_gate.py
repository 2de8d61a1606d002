"""The timer policy keeps frames at even intervals."""

from __future__ import annotations

import pytest

from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.timer_gate import TimerGate
from services.vision.gating.verdict import Verdict


def kept(decisions):
    return [i for i, d in enumerate(decisions) if d.ruling.verdict is not Verdict.SKIP]


def test_frames_are_kept_at_even_intervals():
    gate = TimerGate(PolicyOptions(timer_interval_s=0.5))
    decisions = [gate.decide(i * 0.125) for i in range(9)]
    assert kept(decisions) == [0, 4, 8]
    assert decisions[1].next_frame_in_s == pytest.approx(0.375)
