"""What scorers can be fitted from: the features of each turn and how its answer was received, one JSON object a line.

Features are numbers; no word of a user is kept. The file is bounded: when it is full it becomes `<name>.1` and a new
one begins, so two files hold the newest turns.
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
# With weights that add up to more, the score of some text is past what a float holds.
WEIGHTS_SUM_MAX = 500.0
# A crash tears a line; a file with more of them was never written here.
WRONG_SHARE_MAX = 0.01
OUTCOMES = Counter("hocket_llm_router_outcomes", "Outcomes told, by kind and tier.", ["outcome", "tier"])
LOST = Counter("hocket_llm_router_outcomes_lost", "Outcomes that could not be kept, by why.", ["cause"])


class OutcomeLog:
    """Remembers the turns of the last hour, and writes an outcome with the turn it belongs to."""

    def __init__(self, path: Path | None, state: SharedState) -> None:
        """Write to `path`; without one outcomes are counted alone. `state` knows the turns of all replicas."""
        self._path = path
        self._state = state
        self._file: IO[str] | None = None

    def record_decision(
        self, tenant_id: str, turn_id: str, features: Mapping[str, float], tier: int, model: str
    ) -> None:
        """A turn began to be answered."""
        rounded = {name: round(value, 4) for name, value in features.items() if value}
        row = {"features": rounded, "tier": tier, "model": model}
        self._state.store_text(f"turn:{tenant_id}:{turn_id}", json.dumps(row, separators=(",", ":")))

    async def record_outcome(self, tenant_id: str, turn_id: str, outcome: str) -> bool:
        """How its answer was received; False when the turn is not known (any more)."""
        text = await self._state.load_text(f"turn:{tenant_id}:{turn_id}")
        if text is None:
            return False
        try:
            turn = json.loads(text)
            OUTCOMES.labels(outcome, turn["tier"]).inc()
            row = {"turn": f"{tenant_id}/{turn_id}", "outcome": outcome, **turn}
        except (ValueError, KeyError, TypeError, RecursionError):
            # Another version of the router remembered it in its own form.
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
            # Opened anew for the next one: the file may be another by then, and what it holds back is half a line.
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
    """Rows to fit from, one a turn that tells something, and what is wrong with the lines that were passed over.

    A crash tears a line, or makes one of two. Raises ValueError where more are wrong than that: it is no such file.
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
            wrong.append(f"line {number}: is no outcome: {error!r}")
    if wrong and (not turns or len(wrong) > 1 + number * WRONG_SHARE_MAX):
        raise ValueError(f"{wrong[0]} ({len(wrong)} of {number} lines are wrong)")
    told = ((features, need_from_outcomes(outcomes, tier)) for features, tier, outcomes in turns.values())
    return [TrainingRow(features, need) for features, need in told if need is not None], wrong


def read_weights(path: Path) -> ScorerWeights:
    """ScorerWeights that `write_weights` wrote. Raises ValueError when they are none."""
    try:
        row = json.loads(path.read_text("utf-8"))
        weights = ScorerWeights({str(k): float(v) for k, v in row["weights"].items()}, float(row["bias"]))
        _check_size(weights)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: holds no weights: {error}") from error
    return weights


def _check_size(weights: ScorerWeights) -> None:
    size = sum(map(abs, weights.weights.values())) + abs(weights.bias)
    if not math.isfinite(size) or size > WEIGHTS_SUM_MAX:
        raise ValueError(f"weights and bias must be numbers that add up to {WEIGHTS_SUM_MAX:g} at most")


def write_weights(path: Path, weights: ScorerWeights) -> None:
    """Replace `path` at once, so that no reader sees half of it."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(json.dumps({"bias": weights.bias, "weights": dict(weights.weights)}, indent=1), "utf-8")
    draft.replace(path)


def open_scorer(weights_file: Path | None) -> SurfaceScorer:
    """The scorer with the weights in `weights_file`; the shipped ones where there is no such file yet."""
    if weights_file is None or not weights_file.exists():
        return SurfaceScorer()
    return scorer_with(read_weights(weights_file))


def scorer_with(weights: ScorerWeights) -> SurfaceScorer:
    """The scorer with fitted weights."""
    return SurfaceScorer(weights.weights, weights.bias)
