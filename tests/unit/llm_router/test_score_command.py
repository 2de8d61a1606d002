"""The score command turns prompts into scores, tiers that hold the shares, and reasons; a wrong line is named."""

from __future__ import annotations

import io
import json
import sys

import pytest

from services.llm_router.score_command import main


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


@pytest.mark.parametrize("wrong", ["{", "[]", '{"id": 1}', '{"prompt": 7}'])
def test_a_wrong_line_is_named(monkeypatch, capsys, wrong: str):
    with pytest.raises(SystemExit, match="line 2"):
        run(monkeypatch, capsys, lines(["fine"]) + wrong + "\n")
