"""The command `score` prints scores, tiers and reasons; invalid lines are named."""

from __future__ import annotations

import io
import json
import sys

import pytest

from services.llm_router.adapters.files.outcome_log import write_weights
from services.llm_router.commands.score import main
from services.llm_router.routing.training_data import ScorerWeights


def run(monkeypatch, capsys, text: str, *arguments: str) -> list[dict]:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    main(list(arguments))
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def lines(prompts: list[str]) -> str:
    return "".join(json.dumps({"id": i, "prompt": p}) + "\n" for i, p in enumerate(prompts))


def test_each_prompt_is_answered_in_order_and_the_shares_are_held(monkeypatch, capsys):
    rows = run(monkeypatch, capsys, lines(["turn on the light"] * 400))
    tiers = [row["tier"] for row in rows]
    assert [row["id"] for row in rows] == list(range(400))
    assert abs(tiers.count("simple") - 240) + abs(tiers.count("moderate") - 100) + abs(tiers.count("complex") - 60) <= 8
    assert rows[0]["reasons"][0]["name"] == "words"


def test_quality_cuts_at_fixed_scores(monkeypatch, capsys):
    rows = run(monkeypatch, capsys, lines(["lights", "Prove that 1 + 2 = 3, step by step. " * 60]), "--mode", "quality")
    assert [row["tier"] for row in rows] == ["simple", "complex"]
    assert rows[0]["score"] < rows[1]["score"]


@pytest.mark.parametrize("wrong", ["{", "[]", '{"id": 1}', '{"prompt": 7}', "[" * 100_000, '{"prompt": "\udcff"}'])
def test_an_invalid_line_is_reported(monkeypatch, capsys, wrong: str):
    with pytest.raises(SystemExit, match="line 2"):
        run(monkeypatch, capsys, lines(["fine"]) + wrong + "\n")


def test_a_byte_order_mark_is_skipped(monkeypatch, capsys):
    assert [row["id"] for row in run(monkeypatch, capsys, "\ufeff" + lines(["one", "two"]))] == [0, 1]


def test_lone_surrogates_are_echoed_unchanged(monkeypatch, capsys):
    rows = run(monkeypatch, capsys, '{"id": "\\ud800", "prompt": "half a \\udc00 pair"}\n')
    assert rows[0]["id"] == "\ud800"


def test_fitted_weights_are_used_and_missing_ones_are_an_error(monkeypatch, capsys, tmp_path):
    path = tmp_path / "weights.json"
    write_weights(path, ScorerWeights({"numbers": 9.0}, -4.0))
    rows = run(monkeypatch, capsys, lines(["many words and none of them counts", "1 2 3 4"]), "--weights", str(path))
    assert rows[0]["score"] < 0.1
    assert rows[1]["score"] > 0.5
    with pytest.raises(SystemExit, match="no valid weights"):
        run(monkeypatch, capsys, lines(["x"]), "--weights", str(tmp_path / "none"))
