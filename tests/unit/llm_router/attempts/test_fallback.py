"""Down the ladder at once; then again whoever said "later", within the caller's time and the budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.llm_router.attempts.fallback import ATTEMPTS_MAX, Pursuit, RetryBudget, Step
from services.llm_router.catalog.tiers import Candidate, PriceRow
from services.llm_router.errors import FailureKind, ModelFailure

PRICE = PriceRow("p", 0, 0, 0, 0, 0, 0)


def candidate(alias: str) -> Candidate:
    return Candidate(alias, "gemini", alias, frozenset({"text"}), 1000, 100, (PRICE,))


A, B = candidate("a"), candidate("b")
LATER = ModelFailure(FailureKind.RATE_LIMITED, "429", retry_after_s=1.0)
BROKEN = ModelFailure(FailureKind.INVALID, "400")


def test_the_next_candidate_is_asked_without_a_wait():
    pursuit = Pursuit((A, B), RetryBudget())
    assert pursuit.next(0, None) == Step(A)
    pursuit.failed(A, LATER, 0)
    assert pursuit.next(0, None) == Step(B)


def test_whoever_said_later_is_asked_when_later_has_come():
    for chance, wait_s in ((0.0, 0.65), (1.0, 0.9)):
        pursuit = Pursuit((A, B), RetryBudget(), lambda spread=chance: spread)
        for step in (A, B):
            pursuit.next(0, None)
            pursuit.failed(step, LATER if step is A else BROKEN, 0)
        assert pursuit.next(0.4, None) == Step(A, pytest.approx(wait_s))
        assert pursuit.failures == {"a": "rate_limited", "b": "invalid"}


def test_what_the_request_is_to_blame_for_is_not_sent_again():
    pursuit = Pursuit((A,), RetryBudget())
    pursuit.next(0, None)
    pursuit.failed(A, BROKEN, 0)
    assert pursuit.next(0, None) is None


def test_no_wait_is_begun_that_the_caller_has_no_time_for():
    pursuit = Pursuit((A,), RetryBudget())
    pursuit.next(0, 1.2)
    pursuit.failed(A, LATER, 0)
    assert pursuit.next(0, 1.2) is None
    assert pursuit.retry_after_s == 1.0


def test_nobody_else_is_asked_who_could_not_answer_in_the_time_left():
    own = replace(candidate("own"), provider="embedded")
    pursuit = Pursuit((A, B, own), RetryBudget())
    # The first is asked however little there is.
    assert pursuit.next(0, 0.3) == Step(A)
    pursuit.failed(A, BROKEN, 0)
    # What answers at once still may.
    assert pursuit.next(0, 0.2) == Step(own)
    pursuit.failed(own, BROKEN, 0)
    assert pursuit.next(0, 0.1) is None
    assert pursuit.failures == {"a": "invalid", "b": "hurried", "own": "invalid"}


def test_attempts_are_bounded():
    pursuit = Pursuit((A,), RetryBudget())
    steps = 0
    while pursuit.next(steps * 100.0, None) is not None:
        steps += 1
        pursuit.failed(A, LATER, steps * 100.0 - 2)
    assert steps == ATTEMPTS_MAX


def test_a_spent_budget_stops_retries_and_answers_fill_it_by_a_tenth():
    budget = RetryBudget(left=1.0)
    assert (budget.spend(), budget.spend()) == (True, False)
    for _ in range(11):
        budget.earn()
    assert budget.spend()


def test_a_hedge_takes_the_next_of_the_ladder_once():
    pursuit = Pursuit((A, B), RetryBudget())
    pursuit.next(0, None)
    assert (pursuit.hedge(lambda _: True), pursuit.hedge(lambda _: True)) == (B, None)


def test_one_that_is_not_fit_for_a_hedge_is_still_asked_in_its_turn():
    pursuit = Pursuit((A, B), RetryBudget())
    pursuit.next(0, None)
    assert pursuit.hedge(lambda c: c is not B) is None
    assert pursuit.next(0, None) == Step(B)


def test_one_that_is_passed_by_is_named_unless_it_failed_before():
    pursuit = Pursuit((A, B), RetryBudget())
    pursuit.failed(A, BROKEN, 0)
    pursuit.passed_by(A)
    pursuit.passed_by(B)
    assert pursuit.failures == {"a": "invalid", "b": "breaker_open"}
