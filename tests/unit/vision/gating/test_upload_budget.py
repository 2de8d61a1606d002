"""Keyframes of a changing picture move apart while their bytes exceed the track's rate."""

from __future__ import annotations

import pytest

from services.vision.gating.policy_options import BUSY_STRETCHED_S_MAX
from services.vision.gating.upload_budget import UploadBudget

BUSY_S = 0.25
BYTES_PER_S = 1_000_000  # 8 Mbit/s


def test_uploads_within_the_rate_keep_the_busy_interval():
    budget = UploadBudget(8)
    budget.record(BYTES_PER_S // 10, at_s=100)
    assert budget.next_keyframe_s(100, BUSY_S) == 100 + BUSY_S


def test_uploads_above_the_rate_stretch_the_interval_up_to_its_limit():
    budget = UploadBudget(8)
    budget.record(int(2.3 * BYTES_PER_S), at_s=100)
    assert budget.next_keyframe_s(100, BUSY_S) == pytest.approx(100.3)
    budget.record(10 * BYTES_PER_S, at_s=100)
    assert budget.next_keyframe_s(100, BUSY_S) == 100 + BUSY_STRETCHED_S_MAX
