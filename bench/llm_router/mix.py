"""Measures how tightly the shares of tiers are held on traffic in several orders.

python -m bench.llm_router.mix [--traffic FOLDER] [--json]
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from bench.llm_router.traffic import prompts
from bench.results import Table, add_json_option
from services.llm_router.chat.request import MixMode, Tier
from services.llm_router.routing.tier_mix import TierMix, tie_break

TABLE = Table(
    "llm_router",
    "llm_router_mix",
    ("stream", "requests", "L1 at the end", "worst L1 from 300 on", "worst window of 200", "mean score by tier"),
    "`share` mode, target 60/25/15, 4,000 home commands and 499 hard prompts in several orders.",
)
SHARES = {Tier.SIMPLE: 0.60, Tier.MODERATE: 0.25, Tier.COMPLEX: 0.15}
SETTLED = 300
WINDOW = 200


def streams(folder: Path | None) -> dict[str, list[float]]:
    """Return the scores of each stream."""
    easy_prompts, hard_prompts = prompts(folder)
    easy, hard = [p.score for p in easy_prompts], [p.score for p in hard_prompts]
    chance = random.Random(1)
    shuffled = chance.sample(easy, len(easy))
    bursts = [s for _ in range(20) for s in (*chance.sample(easy, 90), *chance.sample(hard, 20))]
    drift = [chance.choice(hard if chance.random() < i / 4000 else easy) for i in range(4000)]
    return {
        "easy, as listed": easy,
        "easy, shuffled": shuffled,
        "hard, as listed": hard,
        "easy, hard, easy": [*shuffled[:1500], *hard, *shuffled[1500:3000]],
        "90 % easy, 10 % hard": [chance.choice(hard if chance.random() < 0.1 else easy) for _ in range(4000)],
        "drift from easy to hard": drift,
        "bursts of hard": bursts,
        "all equal": [0.2] * 3000,
        "ascending": sorted(easy + hard),
    }


def row(name: str, scores: list[float]) -> list[str]:
    """Return the results of one stream in mode `share`."""
    mix, tiers, worst = TierMix(SHARES), list[Tier](), 0.0
    for score in scores:
        placed = mix.place(score, MixMode.SHARE, tie_break(mix.total))
        mix.count(score, placed.tier)
        tiers.append(placed.tier)
        if len(tiers) >= SETTLED:
            worst = max(worst, sum(abs(mix.served[t] / len(tiers) - SHARES[t]) for t in Tier))
    end = sum(abs(tiers.count(t) / len(tiers) - SHARES[t]) for t in Tier)
    windows = (tiers[i : i + WINDOW] for i in range(len(tiers) - WINDOW + 1))
    window = max(abs(w.count(t) / WINDOW - SHARES[t]) for w in windows for t in Tier)
    means = [sum(s for s, t in zip(scores, tiers, strict=True) if t is tier) / tiers.count(tier) for tier in Tier]
    by_tier = " / ".join(f"{m:.3f}" for m in means)
    return [name, str(len(scores)), f"{end:.4f}", f"{worst:.4f}", f"{window:.3f}", by_tier]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traffic", type=Path, help='folder of JSONL files {"prompt", "kind"}')
    add_json_option(parser)
    options = parser.parse_args()
    rows = [row(name, scores) for name, scores in streams(options.traffic).items()]
    TABLE.publish(rows, write=options.json)


if __name__ == "__main__":
    main()
