"""Log of turns with their outcomes, for fitting the scorer: one JSON object a line, features only, no user content.

The file is bounded: when full it is renamed to `<name>.1` and a new one starts, so that two files hold the newest
turns.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from prometheus_client import Counter

from services.llm_router.ports import SharedState
from services.llm_router.routing.complexity import SurfaceScorer
from services.llm_router.routing.training_data import ScorerWeights, TrainingRow, need_from_outcomes

BYTES_MAX = 64 * 1024 * 1024
# Larger sums overflow a float in the score of some texts.
WEIGHTS_SUM_MAX = 500.0
# A crash truncates a line; a file with more invalid lines has another origin.
WRONG_SHARE_MAX = 0.01
OUTCOMES = Counter("hocket_llm_router_outcomes", "Outcomes recorded, by kind and tier.", ["outcome", "tier"])
LOST = Counter("hocket_llm_router_outcomes_lost", "Outcomes that could not be stored, by cause.", ["cause"])


class OutcomeLog:
    """Keeps the turns of the last hour, and writes each outcome with its turn."""

    def __init__(self, path: Path | None, state: SharedState) -> None:
        """Write to `path` (None: count only); `state` holds the turns of all replicas."""
        self._path = path
        self._state = state
        self._file: IO[str] | None = None

    def record_decision(
        self, tenant_id: str, turn_id: str, features: Mapping[str, float], tier: int, model: str
    ) -> None:
        """Store the features of a turn for an hour."""
        rounded = {name: round(value, 4) for name, value in features.items() if value}
        row = {"features": rounded, "tier": tier, "model": model}
        self._state.store_text(f"turn:{tenant_id}:{turn_id}", json.dumps(row, separators=(",", ":")))

    async def record_outcome(self, tenant_id: str, turn_id: str, outcome: str) -> bool:
        """Write the outcome; False when the turn is unknown or older than an hour."""
        text = await self._state.load_text(f"turn:{tenant_id}:{turn_id}")
        if text is None:
            return False
        try:
            turn = json.loads(text)
            OUTCOMES.labels(outcome, turn["tier"]).inc()
            row = {"turn": f"{tenant_id}/{turn_id}", "outcome": outcome, **turn}
        except (ValueError, KeyError, TypeError, RecursionError):
            # Stored by an incompatible version.
            LOST.labels("unreadable").inc()
            return False
        if self._path is not None:
            self._keep(row)
        return True

    def _keep(self, row: Mapping[str, Any]) -> None:
        try:
            self._write(row)
        except OSError:
            LOST.labels("disk").inc()
            # Reopened for the next outcome: the file may have been replaced, and its buffer holds half a line.
            with suppress(OSError):
                self.close()

    def _write(self, row: Mapping[str, Any]) -> None:
        path = cast("Path", self._path)
        if self._file is None:
            self._file = path.open("a", encoding="utf-8", buffering=1)
        self._file.write(json.dumps(row, separators=(",", ":")) + "\n")
        if self._file.tell() > BYTES_MAX:
            self.close()
            path.replace(path.with_name(f"{path.name}.1"))

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


def read_rows(lines: IO[str]) -> tuple[list[TrainingRow], list[str]]:
    """Return the training rows of a log, one for each turn with a usable outcome, and the invalid lines.

    Raises:
        ValueError: More lines are invalid than a crash explains.
    """
    turns: dict[str, tuple[Mapping[str, float], int, list[str]]] = {}
    wrong: list[str] = []
    number = 0
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            held = turns.setdefault(row["turn"], (row["features"], int(row["tier"]), []))
            held[2].append(row["outcome"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            wrong.append(f"line {number}: is not an outcome: {error!r}")
    if wrong and (not turns or len(wrong) > 1 + number * WRONG_SHARE_MAX):
        raise ValueError(f"{wrong[0]} ({len(wrong)} of {number} lines are wrong)")
    needs = ((features, need_from_outcomes(outcomes, tier)) for features, tier, outcomes in turns.values())
    return [TrainingRow(features, need) for features, need in needs if need is not None], wrong


def read_weights(path: Path) -> ScorerWeights:
    """Read weights written by `write_weights`. Raises ValueError for any other content."""
    try:
        row = json.loads(path.read_text("utf-8"))
        weights = ScorerWeights({str(k): float(v) for k, v in row["weights"].items()}, float(row["bias"]))
        _check_size(weights)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: holds no valid weights: {error}") from error
    return weights


def _check_size(weights: ScorerWeights) -> None:
    size = sum(map(abs, weights.weights.values())) + abs(weights.bias)
    if not math.isfinite(size) or size > WEIGHTS_SUM_MAX:
        raise ValueError(f"weights and bias must be numbers that add up to {WEIGHTS_SUM_MAX:g} at most")


def write_weights(path: Path, weights: ScorerWeights) -> None:
    """Replace `path` atomically."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(json.dumps({"bias": weights.bias, "weights": dict(weights.weights)}, indent=1), "utf-8")
    draft.replace(path)


def open_scorer(weights_file: Path | None) -> SurfaceScorer:
    """Return the scorer with the weights of a file; the shipped ones where the file does not exist yet."""
    if weights_file is None or not weights_file.exists():
        return SurfaceScorer()
    return scorer_with(read_weights(weights_file))


def scorer_with(weights: ScorerWeights) -> SurfaceScorer:
    """Return a scorer with fitted weights."""
    return SurfaceScorer(weights.weights, weights.bias)
