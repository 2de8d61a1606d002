"""How well does the score order prompts by their need of a strong model? APGR on graded prompts, beside baselines.

    python -m bench.llm_router.apgr GRADED.jsonl [MORE.jsonl ...] [--voice VOICE.jsonl]

Each line of a graded file is {"prompt", "weak", "strong"}: how good the answers of a weak and of a strong model were, 0
to 1 (or true and false). Each file is told alone and all together. APGR as RouteLLM defines it (arXiv 2406.18665): the
share of the gap between the two models that is recovered, averaged over all shares of strong calls; 0.5 is what chance
recovers, and the cost-matched shuffle beside it is that chance, drawn. Lines of `--voice` hold {"prompt"} of everyday
commands; AUROC is the chance that a graded prompt scores above one of them.

Judge with it, never train: a scorer fitted to these rows would be told nothing by them.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.llm_router.adapters.files.outcome_log import read_weights, scorer_with
from services.llm_router.routing.complexity import SurfaceScorer
from services.llm_router.routing.fitting import auroc
from services.llm_router.routing.training_data import ScorerWeights, TrainingRow

BOOTSTRAPS = 200
_NUMBER = re.compile(r"\d+")
Score = Callable[[str], float]


@dataclass(frozen=True)
class Graded:
    """A prompt and how good the answers of the weak and of the strong model were, 0 to 1."""

    prompt: str
    weak: float
    strong: float


def apgr(scores: Sequence[float], graded: Sequence[Graded], chance: random.Random) -> float:
    """Area under the share of the gap that is recovered, over the share of strong calls, ties in random order."""
    order = sorted(range(len(graded)), key=lambda i: (-scores[i], chance.random()))
    gains = np.array([graded[i].strong - graded[i].weak for i in order])
    recovered = np.concatenate([[0.0], np.cumsum(gains)]) / gains.sum()
    return float(np.trapezoid(recovered, dx=1 / len(gains)))


def half_width(scores: Sequence[float], graded: Sequence[Graded], chance: random.Random) -> float:
    """Half of the 95 % interval of the APGR, by bootstrap over prompts."""
    n = len(graded)
    drawn: list[float] = []
    for _ in range(BOOTSTRAPS):
        picked = chance.choices(range(n), k=n)
        drawn.append(apgr([scores[i] for i in picked], [graded[i] for i in picked], chance))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(high - low) / 2


def scorers(weights: Path | None) -> dict[str, Score]:
    """Ours, and what is cheap to do instead."""
    ours = SurfaceScorer() if weights is None else scorer_with(read_weights(weights))
    chance = random.Random(7)
    return {
        "ours": lambda text: ours.score_text(text).score,
        "cost-matched shuffle": lambda _: chance.random(),
        "words": lambda text: float(len(text.split())),
        "words and numbers": lambda text: len(text.split()) + 10.0 * len(_NUMBER.findall(text)),
    }


def read(path: Path) -> list[Graded]:
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    return [Graded(row["prompt"], float(row["weak"]), float(row["strong"])) for row in rows]


def told(name: str, score: Score, sets: dict[str, list[Graded]], voice: list[str]) -> str:
    """One row of the table."""
    chance, cells = random.Random(5), list[str]()
    started = time.process_time()
    scored = {key: [score(g.prompt) for g in graded] for key, graded in sets.items()}
    took_ms = (time.process_time() - started) * 1000 / sum(map(len, sets.values()))
    for key, graded in sets.items():
        value, error = apgr(scored[key], graded, chance), half_width(scored[key], graded, chance)
        cells.append(f"{value:.3f} ± {error:.3f}")
    if voice:
        rows = [TrainingRow({"s": s}, 1.0) for s in scored["all"]]
        rows += [TrainingRow({"s": score(text)}, 0.0) for text in voice]
        cells.append(f"{auroc(rows, ScorerWeights({'s': 1.0}, 0.0)):.3f}")
    return f"| {name} | {' | '.join(cells)} | {took_ms:.3f} |"


def main() -> None:
    """Be the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graded", type=Path, nargs="+", help='JSONL of {"prompt", "weak", "strong"}')
    parser.add_argument("--voice", type=Path, help='JSONL of {"prompt"}: everyday commands')
    parser.add_argument("--weights", type=Path, help="weights that `hocket-llm-router fit` wrote")
    given = parser.parse_args()
    sets = {path.stem: read(path) for path in given.graded}
    sets["all"] = [g for graded in sets.values() for g in graded]
    voice: list[str] = []
    if given.voice is not None:
        voice = [json.loads(line)["prompt"] for line in given.voice.read_text("utf-8").splitlines() if line.strip()]
    heads = [*(f"{key} ({len(graded)})" for key, graded in sets.items()), *(["AUROC over voice"] if voice else [])]
    print(f"| scorer | {' | '.join(heads)} | CPU ms a prompt |")
    print("|---" * (len(heads) + 2) + "|")
    for name, score in scorers(given.weights).items():
        print(told(name, score, sets, voice))


if __name__ == "__main__":
    main()
