"""The active interval holds for a while after a change and during speech; otherwise the idle interval applies."""

from __future__ import annotations

import pytest

from services.vision.gating.pacing import next_frame_in_s
from services.vision.gating.policy_options import PolicyOptions

OPTIONS = PolicyOptions(active_interval_s=0.04, idle_interval_s=0.5, active_hold_s=2)


@pytest.mark.parametrize(
    ("since_active_s", "speaking", "expected_s"),
    [(0, False, 0.04), (1.9, False, 0.04), (2, False, 0.5), (100, False, 0.5), (100, True, 0.04)],
)
def test_the_interval_depends_on_the_last_change_and_on_speech(since_active_s, speaking, expected_s):
    assert next_frame_in_s(OPTIONS, 100 + since_active_s, 100, speaking=speaking) == expected_s
