"""Decides which steps of a search still fit into its time."""

from __future__ import annotations

# What is kept back for the vector scan when the wait for a query vector is bounded; 8,000 rows take about 30 ms.
VECTOR_SCAN_S = 0.04


class Budget:
    """The time of one search, in seconds on the clock that its caller reads."""

    def __init__(self, started_s: float, budget_s: float) -> None:
        """Begin at `started_s`."""
        self._ends_s = started_s + budget_s

    def left_s(self, now_s: float) -> float:
        """Seconds left, 0 or more."""
        return max(self._ends_s - now_s, 0.0)

    def for_embedding_s(self, now_s: float) -> float:
        """How long to wait for a query vector and still have time to search by it; 0 when not at all."""
        return max(self.left_s(now_s) - VECTOR_SCAN_S, 0.0)
