"""Measures how well the score ranks prompts by their need of a strong model: APGR on graded prompts, with baselines.

    python -m bench.llm_router.apgr GRADED.jsonl [MORE.jsonl ...] [--voice VOICE.jsonl] [--json]

Each line of a graded file is {"prompt", "weak", "strong"}: the quality of a weak and of a strong model's answer, 0 to 1
(or true and false). Each file has its rows, and all together. APGR as RouteLLM defines it (arXiv 2406.18665): the share
of the gap between the two models that is recovered, averaged over all shares of strong calls; 0.5 is chance, and the
cost-matched shuffle is that chance, drawn. Lines of `--voice` hold {"prompt"} of everyday commands; AUROC is the
probability that a graded prompt scores above one of them.

Do not fit a scorer to these rows: its APGR on them would say nothing.
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

from bench.results import Table, add_json_option
from services.llm_router.adapters.files.outcome_log import read_weights, scorer_with
from services.llm_router.routing.complexity import SurfaceScorer
from services.llm_router.routing.fitting import auroc
from services.llm_router.routing.training_data import ScorerWeights, TrainingRow

TABLE = Table(
    "llm_router",
    "llm_router_scorer",
    ("scorer", "prompts", "APGR", "AUROC over voice", "CPU median, ms", "CPU p95, ms"),
    "No rows of a benchmark were used to set the weights.",
)
BOOTSTRAPS = 200
_NUMBER = re.compile(r"\d+")
Score = Callable[[str], float]


@dataclass(frozen=True)
class Graded:
    """A prompt, and the quality of the weak and of the strong model's answer, 0 to 1."""

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
    """Return the score of the router, and cheap alternatives."""
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


def rows(name: str, score: Score, sets: dict[str, list[Graded]], voice: list[str]) -> list[list[str]]:
    """Return a row of one scorer for each set of graded prompts; AUROC is empty without voice commands."""
    chance, found = random.Random(5), list[list[str]]()
    easy = [TrainingRow({"s": score(text)}, 0.0) for text in voice]
    for key, graded in sets.items():
        scores, cpu_ms = list[float](), list[float]()
        for one in graded:
            started = time.thread_time()
            scores.append(score(one.prompt))
            cpu_ms.append((time.thread_time() - started) * 1000)
        value, error = apgr(scores, graded, chance), half_width(scores, graded, chance)
        hard = [TrainingRow({"s": s}, 1.0) for s in scores]
        above = f"{auroc([*hard, *easy], ScorerWeights({'s': 1.0}, 0.0)):.3f}" if easy else ""
        median, p95 = (f"{float(np.quantile(cpu_ms, q)):.3f}" for q in (0.5, 0.95))
        found.append([name, f"{key} ({len(graded)})", f"{value:.3f} ± {error:.3f}", above, median, p95])
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graded", type=Path, nargs="+", help='JSONL of {"prompt", "weak", "strong"}')
    parser.add_argument("--voice", type=Path, help='JSONL of {"prompt"}: everyday commands')
    parser.add_argument("--weights", type=Path, help="weights that `hocket-llm-router fit` wrote")
    add_json_option(parser)
    given = parser.parse_args()
    sets = {path.stem: read(path) for path in given.graded}
    if len(sets) > 1:
        sets["all"] = [g for graded in sets.values() for g in graded]
    voice: list[str] = []
    if given.voice is not None:
        voice = [json.loads(line)["prompt"] for line in given.voice.read_text("utf-8").splitlines() if line.strip()]
    found = [row for name, score in scorers(given.weights).items() for row in rows(name, score, sets, voice)]
    TABLE.publish(found, write=given.json)


if __name__ == "__main__":
    main()
