"""Time left for the steps of a search."""

from __future__ import annotations

from services.rag.budget import VECTOR_SCAN_S, Budget


def test_the_wait_for_a_vector_leaves_time_to_use_it():
    budget = Budget(100.0, 0.3)
    assert round(budget.for_embedding_s(100.0), 9) == 0.3 - VECTOR_SCAN_S
    assert budget.for_embedding_s(100.3 - VECTOR_SCAN_S / 2) == 0
    assert budget.left_s(101) == 0
