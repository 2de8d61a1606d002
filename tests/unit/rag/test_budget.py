"""What still fits into a search's time, and when a vendor is called again."""

from __future__ import annotations

from services.rag.budget import VECTOR_SCAN_S, Breaker, Budget


def test_the_wait_for_a_vector_leaves_time_to_use_it():
    budget = Budget(100.0, 0.3)
    assert round(budget.for_embedding_s(100.0), 9) == 0.3 - VECTOR_SCAN_S
    assert budget.for_embedding_s(100.3 - VECTOR_SCAN_S / 2) == 0
    assert budget.left_s(101) == 0


def test_after_three_failures_the_vendor_rests_and_is_then_tried_again():
    breaker = Breaker(failures_max=3, rest_s=5)
    for _ in range(3):
        assert breaker.allows(10.0)
        breaker.failed(10.0)
    assert not breaker.allows(14.9)
    assert breaker.allows(15.0)
    breaker.failed(15.0)
    assert not breaker.allows(16.0)
    breaker.succeeded()
    assert breaker.allows(16.0)
