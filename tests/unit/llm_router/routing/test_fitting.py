"""Weights are fitted to outcomes and promoted when they rank held-out turns no worse."""

from __future__ import annotations

import io
import json
import math
import random

import pytest

from services.llm_router.adapters.files.outcome_log import read_rows, read_weights, write_weights
from services.llm_router.commands.fit import main
from services.llm_router.routing.complexity import BIAS, WEIGHTS
from services.llm_router.routing.fitting import ROWS_MIN, auroc, fit
from services.llm_router.routing.tier_mix import ABSOLUTE_CUTS
from services.llm_router.routing.training_data import ScorerWeights, TrainingRow, need_from_outcomes

OLD = ScorerWeights({"words": 1.0, "numbers": 0.0}, -0.5)


def rows(count: int, *, by: str, noise: float = 0.1) -> list[TrainingRow]:
    chance = random.Random(3)
    out = []
    for _ in range(count):
        features = {"words": chance.random(), "numbers": chance.random()}
        need = float(features[by] > 0.5) if chance.random() > noise else float(chance.random() > 0.5)
        out.append(TrainingRow(features, need))
    return out


def test_a_feature_that_predicts_outcomes_is_learned():
    verdict = fit(rows(1000, by="numbers"), OLD)
    assert verdict.promoted
    assert verdict.auroc_new > verdict.auroc_old + 0.2
    assert verdict.fitted.weights["numbers"] > verdict.fitted.weights["words"]


def test_few_complaints_leave_the_shares_at_the_fixed_cuts_unchanged():
    chance = random.Random(5)
    old = ScorerWeights(dict(WEIGHTS), BIAS)
    traffic = [
        TrainingRow({name: chance.random() * 0.9 for name in WEIGHTS}, float(chance.random() < 0.1))
        for _ in range(1500)
    ]

    def below(weights: ScorerWeights, cut: float) -> float:
        raw = math.log(cut / (1 - cut))
        return sum(weights.raw(row.features) < raw for row in traffic) / len(traffic)

    fitted = fit(traffic, old).fitted
    for cut in ABSOLUTE_CUTS:
        assert below(fitted, cut) == pytest.approx(below(old, cut), abs=0.02)


def test_weights_fitted_to_noise_are_not_promoted():
    good = ScorerWeights({"words": 5.0, "numbers": 0.0}, -2.5)
    learned = fit(rows(ROWS_MIN, by="words", noise=0.0), good)
    assert learned.auroc_old == pytest.approx(1.0)
    assert learned.promoted == (learned.auroc_new >= learned.auroc_old)


def test_auroc_counts_ordered_pairs_and_ties_as_half():
    by_words = ScorerWeights({"words": 1.0}, 0.0)
    told = [TrainingRow({"words": w}, need) for w, need in ((0.1, 0), (0.3, 1), (0.3, 0), (0.9, 1))]
    assert auroc(told, by_words) == pytest.approx((1 + 0.5 + 1 + 1) / 4)


def test_too_few_or_one_sided_outcomes_are_refused():
    with pytest.raises(ValueError, match="too few"):
        fit(rows(ROWS_MIN - 1, by="words"), OLD)
    with pytest.raises(ValueError, match="same label"):
        fit([TrainingRow({"words": 0.5}, 1.0)] * ROWS_MIN, OLD)


@pytest.mark.parametrize(
    ("outcomes", "tier", "need"),
    [
        (["thumbs_up"], 1, 0.0),
        (["thumbs_up"], 3, None),
        (["re_asked"], 3, 1.0),
        (["barge_in"], 1, 0.5),
        (["thumbs_up", "re_asked"], 1, 0.5),
        ([], 1, None),
    ],
)
def test_need_is_derived_from_outcomes_and_tier(outcomes: list[str], tier: int, need: float | None):
    assert need_from_outcomes(outcomes, tier) == need


def test_the_fit_command_promotes_and_reports(tmp_path, capsys):
    log, weights = tmp_path / "log.jsonl", tmp_path / "weights.json"
    lines = [
        {"turn": f"t/{i}", "outcome": "re_asked" if r.need else "thumbs_up", "features": r.features, "tier": 1}
        for i, r in enumerate(rows(600, by="numbers"))
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_weights(weights, OLD)
    main([str(log), str(weights)])
    assert capsys.readouterr().out.startswith("promoted: AUROC")
    assert read_weights(weights).weights["numbers"] > 1
    with pytest.raises(SystemExit):
        main([str(tmp_path / "none"), str(weights)])


def test_a_line_torn_by_a_crash_is_skipped_and_reported(tmp_path, capsys):
    log, weights = tmp_path / "log.jsonl", tmp_path / "weights.json"
    lines = [
        json.dumps(
            {"turn": f"t/{i}", "outcome": "re_asked" if r.need else "thumbs_up", "features": r.features, "tier": 1}
        )
        for i, r in enumerate(rows(600, by="numbers"))
    ]
    # Torn, and written on by the next process.
    lines[300] = lines[300][:40] + lines[301]
    log.write_text("\n".join(lines) + "\n")
    write_weights(weights, OLD)
    main([str(log), str(weights)])
    said = capsys.readouterr()
    assert said.out.startswith("promoted: AUROC")
    assert "of 599 turns" in said.out
    assert said.err.startswith("skipped: line 301")


def test_a_file_without_outcomes_is_refused():
    other = io.StringIO("".join(f'{{"a": {i}}}\n' for i in range(500)))
    with pytest.raises(ValueError, match=r"line 1.*\(500 of 500 lines are wrong\)"):
        read_rows(other)


def test_an_invalid_line_is_reported_and_shipped_weights_survive_a_round_trip(tmp_path):
    with pytest.raises(ValueError, match="line 1"):
        read_rows(io.StringIO("{}\n"))
    write_weights(tmp_path / "w", ScorerWeights(WEIGHTS, BIAS))
    assert read_weights(tmp_path / "w") == ScorerWeights(dict(WEIGHTS), BIAS)
