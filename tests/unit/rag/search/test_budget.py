"""Time budget of a search."""

from __future__ import annotations

from services.rag.search.budget import VECTOR_SCAN_S, Budget


def test_wait_for_a_query_vector_leaves_time_for_the_vector_scan():
    budget = Budget(100.0, 0.3)
    assert round(budget.for_embedding_s(100.0), 9) == 0.3 - VECTOR_SCAN_S
    assert budget.for_embedding_s(100.3 - VECTOR_SCAN_S / 2) == 0
    assert budget.left_s(101) == 0
