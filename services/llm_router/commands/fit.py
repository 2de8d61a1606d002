"""`hocket-llm-router fit`: fits scorer weights to recorded outcomes and promotes them when they rank no worse."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from services.llm_router.adapters.files.outcome_log import read_rows, read_weights, write_weights
from services.llm_router.routing.complexity import BIAS, WEIGHTS
from services.llm_router.routing.training_data import ScorerWeights


def main(arguments: list[str]) -> None:
    """Run `hocket-llm-router fit`."""
    parser = argparse.ArgumentParser(
        prog="hocket-llm-router fit",
        description="Fit the scorer to the outcomes in LOG and write the weights to WEIGHTS when they rank held-out"
        " turns no worse than the current ones. Exit code 0: promoted, 1: an error, 3: not promoted.",
    )
    parser.add_argument("log", type=Path, help="the file of HOCKET_LLM_ROUTER_OUTCOMES_FILE")
    parser.add_argument("weights", type=Path, help="the file of HOCKET_LLM_ROUTER_WEIGHTS_FILE; may not exist yet")
    options = parser.parse_args(arguments)
    try:
        # On use: numpy would cost the service memory, and its image leaves it out.
        from services.llm_router.routing.fitting import fit  # noqa: PLC0415
    except ModuleNotFoundError as error:
        sys.exit(f"hocket-llm-router fit: {error.name} is not installed: install hocket[llm-router-fit]")
    try:
        old = read_weights(options.weights) if options.weights.exists() else ScorerWeights(WEIGHTS, BIAS)
        with options.log.open(encoding="utf-8") as lines:
            rows, skipped = read_rows(lines)
        for problem in skipped:
            sys.stderr.write(f"skipped: {problem}\n")
        result = fit(rows, old)
    except (OSError, ValueError) as error:
        sys.exit(f"hocket-llm-router fit: {error}")
    summary = f"AUROC {result.auroc_old:.4f} -> {result.auroc_new:.4f} on {result.rows_held_out} of {result.rows} turns"
    if not result.promoted:
        sys.stdout.write(f"not promoted: {summary}\n")
        sys.exit(3)
    write_weights(options.weights, result.fitted)
    sys.stdout.write(f"promoted: {summary}\n")
