"""Prompts for the benches: from JSONL files {"prompt", "kind"} where a folder is given, made up otherwise."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from services.llm_router.routing.complexity import SurfaceScorer

EASY = "turn on off the light kitchen play music what time is it louder stop set alarm for seven call home"
HARD = "prove explain compute the integral of function given constraints compare 12 7 x = y whether each"


@dataclass(frozen=True)
class Prompt:
    """A prompt, whether it is hard, and its score."""

    text: str
    hard: bool
    score: float


def prompts(folder: Path | None) -> tuple[list[Prompt], list[Prompt]]:
    """Easy and hard prompts."""
    rows = _made_up() if folder is None else _read(folder)
    scorer = SurfaceScorer()
    scored = [Prompt(text, hard, scorer.score_text(text).score) for text, hard in rows]
    return [p for p in scored if not p.hard], [p for p in scored if p.hard]


def _read(folder: Path) -> list[tuple[str, bool]]:
    rows = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.open(encoding="utf-8")]
    return [(row["prompt"], row["kind"] == "hard") for row in rows]


def _made_up() -> list[tuple[str, bool]]:
    chance = random.Random(11)
    easy = [(" ".join(chance.choices(EASY.split(), k=chance.randint(2, 10))), False) for _ in range(4000)]
    hard = [(" ".join(chance.choices(HARD.split(), k=chance.randint(15, 200))), True) for _ in range(500)]
    return easy + hard
