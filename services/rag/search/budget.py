"""Decides which steps of a search still fit into its time budget."""

from __future__ import annotations

# Kept for the vector scan while waiting for the query vector: 8,000 rows take about 30 ms.
VECTOR_SCAN_S = 0.04


class Budget:
    """Time budget of one search, in seconds on the caller's monotonic clock."""

    def __init__(self, started_s: float, budget_s: float) -> None:
        """Start a budget of `budget_s` seconds at `started_s`."""
        self._ends_s = started_s + budget_s

    def left_s(self, now_s: float) -> float:
        """Return the seconds left, 0 or more."""
        return max(self._ends_s - now_s, 0.0)

    def for_embedding_s(self, now_s: float) -> float:
        """Return the seconds to wait for a query vector so that the vector scan still fits; 0 to skip both."""
        return max(self.left_s(now_s) - VECTOR_SCAN_S, 0.0)
