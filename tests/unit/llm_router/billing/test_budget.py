"""Near the end of its budget a tenant gets the simple tier before it is refused."""

from __future__ import annotations

import pytest

from services.llm_router.billing.budget import BudgetStanding, standing_of, until_midnight_s


@pytest.mark.parametrize(
    ("spent", "budget", "standing"),
    [
        (10**9, 0, BudgetStanding.NORMAL),
        (799, 1000, BudgetStanding.NORMAL),
        (800, 1000, BudgetStanding.NEAR),
        (1000, 1000, BudgetStanding.SPENT),
    ],
)
def test_budget_standings(spent: int, budget: int, standing: BudgetStanding):
    assert standing_of(spent, budget) is standing


def test_a_day_ends_at_midnight_utc():
    assert until_midnight_s(86_400 * 20_000) == 86_400
    assert until_midnight_s(86_400 * 20_000 + 86_399.5) == 0.5
