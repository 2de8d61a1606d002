"""`hocket-llm-router score`: scores prompts from standard input, for calibration on one's own traffic."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from services.llm_router.adapters.files.outcome_log import read_weights, scorer_with
from services.llm_router.adapters.files.tiers_file import shipped_table
from services.llm_router.catalog.toml_file import parse_tiers
from services.llm_router.chat.request import MixMode, Tier
from services.llm_router.routing.complexity import SurfaceScorer
from services.llm_router.routing.tier_mix import TierMix, tie_break

PROMPT_CHARACTERS_MAX = 10_000_000
BYTE_ORDER_MARK = "\ufeff"


def score_lines(
    lines: IO[str], mode: MixMode, shares: dict[Tier, float], scorer: SurfaceScorer
) -> Iterator[dict[str, Any]]:
    """Yield one row for each line of JSONL. Raises ValueError naming the invalid line."""
    mix = TierMix(shares)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = _row(line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line, number)
        complexity = scorer.score_text(row["prompt"])
        placed = mix.place(complexity.score, mode, tie_break(mix.total))
        mix.count(complexity.score, placed.tier)
        reasons = [{"name": c.name, "weight": round(c.weight, 4), "detail": c.detail} for c in complexity.contributions]
        if placed.moved:
            reasons.append(
                {"name": "mix", "weight": 0.0, "detail": f"{placed.score_tier.name.lower()} by its score alone"}
            )
        yield {
            "id": row.get("id"),
            "score": round(complexity.score, 6),
            "tier": placed.tier.name.lower(),
            "reasons": reasons,
        }


def _row(line: str, number: int) -> dict[str, Any]:
    try:
        # Bytes that are not UTF-8 were read as lone surrogates, which fail here; JSON escapes of surrogates do not.
        line.encode()
        parsed = json.loads(line)
    except UnicodeEncodeError as error:
        raise ValueError(f"line {number}: is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number}: is not JSON: {error}") from error
    row = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
    prompt = row.get("prompt")
    if not isinstance(prompt, str):
        raise ValueError(f'line {number}: must be an object with a string "prompt"')  # noqa: TRY004 - the file is wrong, not an argument
    if len(prompt) > PROMPT_CHARACTERS_MAX:
        raise ValueError(f"line {number}: prompt: must be at most {PROMPT_CHARACTERS_MAX} characters long")
    return row


def main(arguments: list[str]) -> None:
    """Run `hocket-llm-router score`."""
    parser = argparse.ArgumentParser(
        prog="hocket-llm-router score",
        description='Score prompts: JSONL {"id", "prompt"} on standard input, {"id", "score", "tier", "reasons"} out.',
    )
    parser.add_argument(
        "--mode",
        choices=[m.value for m in MixMode],
        default=MixMode.SHARE.value,
        help="how a score becomes a tier: share holds the shares over the stream, cap holds them as ceilings,"
        " quality cuts at fixed scores (default: share)",
    )
    parser.add_argument("--tiers-file", help="TOML file with the shares (default: the shipped one)")
    parser.add_argument(
        "--weights", type=Path, help="weights written by `hocket-llm-router fit` (default: the shipped ones)"
    )
    options = parser.parse_args(arguments)
    try:
        scorer = SurfaceScorer() if options.weights is None else scorer_with(read_weights(options.weights))
        for row in score_lines(_input(), MixMode(options.mode), _shares(options.tiers_file), scorer):
            # ASCII output: neither a terminal's encoding nor a lone surrogate in an id can fail.
            sys.stdout.write(json.dumps(row) + "\n")
    except (ValueError, OSError) as error:
        sys.exit(f"hocket-llm-router score: {error}")


def _input() -> IO[str]:
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="surrogateescape")
    return sys.stdin


def _shares(path: str | None) -> dict[Tier, float]:
    text = shipped_table() if path is None else Path(path).read_text("utf-8")
    return dict(parse_tiers(text, path or "tiers.toml").shares)
