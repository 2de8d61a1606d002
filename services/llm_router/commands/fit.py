"""`hocket-llm-router fit`: new weights of the scorer from outcomes, promoted only where they are no worse."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from services.llm_router.adapters.files.outcome_log import read_rows, read_weights, write_weights
from services.llm_router.routing.complexity import BIAS, WEIGHTS
from services.llm_router.routing.fitting import fit
from services.llm_router.routing.training_data import ScorerWeights


def main(arguments: list[str]) -> None:
    """Be the command `hocket-llm-router fit`."""
    parser = argparse.ArgumentParser(
        prog="hocket-llm-router fit",
        description="Fit the scorer to the outcomes in LOG and write the weights to WEIGHTS when they order the turns"
        " kept apart no worse than those in force. Exit code 0: promoted, 1: an error, 3: kept as they were.",
    )
    parser.add_argument("log", type=Path, help="what HOCKET_LLM_ROUTER_OUTCOMES_FILE names")
    parser.add_argument("weights", type=Path, help="what HOCKET_LLM_ROUTER_WEIGHTS_FILE names; may not exist yet")
    given = parser.parse_args(arguments)
    try:
        old = read_weights(given.weights) if given.weights.exists() else ScorerWeights(WEIGHTS, BIAS)
        with given.log.open(encoding="utf-8") as lines:
            rows, passed_over = read_rows(lines)
        for problem in passed_over:
            sys.stderr.write(f"passed over: {problem}\n")
        verdict = fit(rows, old)
    except (OSError, ValueError) as error:
        sys.exit(f"hocket-llm-router fit: {error}")
    told = f"AUROC {verdict.auroc_old:.4f} -> {verdict.auroc_new:.4f} on {verdict.rows_apart} of {verdict.rows} turns"
    if not verdict.promoted:
        sys.stdout.write(f"kept as they were: {told}\n")
        sys.exit(3)
    write_weights(given.weights, verdict.fitted)
    sys.stdout.write(f"promoted: {told}\n")
