"""The measure of ordering, on orders whose value is known."""

from __future__ import annotations

import random

import pytest

from bench.llm_router.apgr import Graded, apgr

NEEDED, EASY = Graded("hard", 0.0, 1.0), Graded("easy", 1.0, 1.0)


def test_an_oracle_recovers_the_gap_at_once_and_its_opposite_at_the_end():
    graded = [NEEDED] * 20 + [EASY] * 80
    scores = [1.0] * 20 + [0.0] * 80
    assert apgr(scores, graded, random.Random(1)) == pytest.approx(0.9)
    assert apgr([-s for s in scores], graded, random.Random(1)) == pytest.approx(0.1)


def test_equal_scores_recover_what_chance_does():
    graded = [NEEDED, EASY] * 2000
    assert apgr([0.5] * 4000, graded, random.Random(1)) == pytest.approx(0.5, abs=0.03)
