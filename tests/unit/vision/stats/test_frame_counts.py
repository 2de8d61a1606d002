"""Counts report the share of dropped frames and the bytes and tokens saved."""

from __future__ import annotations

import pytest

from services.vision.gating.verdict import Verdict
from services.vision.stats.frame_counts import FrameCounts, vision_tokens


def test_counts_report_dedup_rate_and_savings():
    counts = FrameCounts()
    counts.count(Verdict.KEEP, 1280, 720, 0)
    counts.count(Verdict.SKIP, 1280, 720, 7)
    counts.count(Verdict.REFRESH, 1280, 720, 0)
    counts.count_upload(100_000)
    counts.count_upload(60_000)
    assert (counts.offered, counts.kept, counts.refreshed, counts.skipped, counts.suppressed) == (3, 1, 1, 1, 7)
    assert counts.dedup_rate == pytest.approx(0.8)
    assert counts.bytes_saved == 8 * 80_000
    assert counts.tokens_saved == 8 * 1228


def test_tokens_follow_the_area_up_to_the_model_limit():
    assert vision_tokens(1280, 720) == 1228
    assert vision_tokens(4096, 2304) == vision_tokens(1568, 882)
    assert vision_tokens(1, 1) == 1
