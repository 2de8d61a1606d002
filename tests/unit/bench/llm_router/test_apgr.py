"""APGR of orders whose value is known, and the rows of the table."""

from __future__ import annotations

import random

import pytest

from bench.llm_router.apgr import TABLE, Graded, apgr, rows

NEEDED, EASY = Graded("hard", 0.0, 1.0), Graded("easy", 1.0, 1.0)


def test_an_oracle_recovers_the_gap_at_once_and_its_opposite_at_the_end():
    graded = [NEEDED] * 20 + [EASY] * 80
    scores = [1.0] * 20 + [0.0] * 80
    assert apgr(scores, graded, random.Random(1)) == pytest.approx(0.9)
    assert apgr([-s for s in scores], graded, random.Random(1)) == pytest.approx(0.1)


def test_equal_scores_recover_what_chance_does():
    graded = [NEEDED, EASY] * 2000
    assert apgr([0.5] * 4000, graded, random.Random(1)) == pytest.approx(0.5, abs=0.03)


def test_each_set_has_a_row_with_apgr_auroc_and_cpu():
    sets = {"math": [NEEDED, EASY] * 50, "all": [NEEDED, EASY] * 100}
    found = rows("ours", lambda text: 1.0 if text == "hard" else 0.0, sets, ["lights on"])
    assert [row[:2] for row in found] == [["ours", "math (100)"], ["ours", "all (200)"]]
    assert found[0][2].startswith("0.75")
    assert {row[3] for row in found} == {"0.750"}
    assert {len(row) for row in found} == {len(TABLE.columns)}


def test_auroc_is_empty_without_voice_commands():
    assert rows("ours", len, {"math": [NEEDED] * 4}, [])[0][3] == ""
