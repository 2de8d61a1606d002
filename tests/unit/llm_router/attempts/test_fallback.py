"""Candidates in order, then retries, within the deadline and the retry budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.llm_router.attempts.fallback import ATTEMPTS_MAX, Fallback, RetryBudget, Step
from services.llm_router.catalog.tiers import Candidate, PriceRow
from services.llm_router.errors import FailureKind, ModelFailure

PRICE = PriceRow("p", 0, 0, 0, 0, 0, 0)


def candidate(alias: str) -> Candidate:
    return Candidate(alias, "gemini", alias, frozenset({"text"}), 1000, 100, (PRICE,))


A, B = candidate("a"), candidate("b")
LATER = ModelFailure(FailureKind.RATE_LIMITED, "429", retry_after_s=1.0)
BROKEN = ModelFailure(FailureKind.INVALID, "400")


def test_the_next_candidate_is_tried_without_a_wait():
    fallback = Fallback((A, B), RetryBudget())
    assert fallback.next_attempt(0, None) == Step(A)
    fallback.record_failure(A, LATER, 0)
    assert fallback.next_attempt(0, None) == Step(B)


def test_transient_failures_are_retried_after_their_wait():
    for random_share, wait_s in ((0.0, 0.65), (1.0, 0.9)):
        fallback = Fallback((A, B), RetryBudget(), lambda spread=random_share: spread)  # type: ignore[misc]
        for step in (A, B):
            fallback.next_attempt(0, None)
            fallback.record_failure(step, LATER if step is A else BROKEN, 0)
        assert fallback.next_attempt(0.4, None) == Step(A, pytest.approx(wait_s))
        assert fallback.failures == {"a": "rate_limited", "b": "invalid"}


def test_faults_of_the_request_are_not_retried():
    fallback = Fallback((A,), RetryBudget())
    fallback.next_attempt(0, None)
    fallback.record_failure(A, BROKEN, 0)
    assert fallback.next_attempt(0, None) is None


def test_no_wait_that_exceeds_the_deadline_is_started():
    fallback = Fallback((A,), RetryBudget())
    fallback.next_attempt(0, 1.2)
    fallback.record_failure(A, LATER, 0)
    assert fallback.next_attempt(0, 1.2) is None
    assert fallback.retry_after_s == 1.0


def test_no_fallback_without_time_to_answer():
    own = replace(candidate("own"), provider="embedded")
    fallback = Fallback((A, B, own), RetryBudget())
    # The first attempt starts however little of the deadline is left.
    assert fallback.next_attempt(0, 0.3) == Step(A)
    fallback.record_failure(A, BROKEN, 0)
    # What answers at once still may.
    assert fallback.next_attempt(0, 0.2) == Step(own)
    fallback.record_failure(own, BROKEN, 0)
    assert fallback.next_attempt(0, 0.1) is None
    assert fallback.failures == {"a": "invalid", "b": "caller_deadline", "own": "invalid"}


def test_attempts_are_bounded():
    fallback = Fallback((A,), RetryBudget())
    steps = 0
    while fallback.next_attempt(steps * 100.0, None) is not None:
        steps += 1
        fallback.record_failure(A, LATER, steps * 100.0 - 2)
    assert steps == ATTEMPTS_MAX


def test_a_spent_retry_budget_stops_retries_and_each_answer_returns_a_tenth():
    budget = RetryBudget(left=1.0)
    assert (budget.spend(), budget.spend()) == (True, False)
    for _ in range(11):
        budget.credit()
    assert budget.spend()


def test_a_hedge_takes_the_next_candidate_once():
    fallback = Fallback((A, B), RetryBudget())
    fallback.next_attempt(0, None)
    assert (fallback.next_hedge(lambda _: True), fallback.next_hedge(lambda _: True)) == (B, None)


def test_a_candidate_unfit_for_hedging_is_still_tried_later():
    fallback = Fallback((A, B), RetryBudget())
    fallback.next_attempt(0, None)
    assert fallback.next_hedge(lambda c: c is not B) is None
    assert fallback.next_attempt(0, None) == Step(B)


def test_a_skipped_candidate_is_reported_unless_it_failed_before():
    fallback = Fallback((A, B), RetryBudget())
    fallback.record_failure(A, BROKEN, 0)
    fallback.skip(A)
    fallback.skip(B)
    assert fallback.failures == {"a": "invalid", "b": "breaker_open"}
