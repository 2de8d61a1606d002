"""The standing of a tenant in its budget of a day: normal, near the limit, or spent."""

from __future__ import annotations

from enum import StrEnum

# From this share of the budget on, the tenant gets the simple tier, which delays the refusal at 100 %.
NEAR_SHARE = 0.8
DAY_S = 86_400


class BudgetStanding(StrEnum):
    """Standing of a tenant in its budget."""

    NORMAL = "normal"
    NEAR = "near"
    SPENT = "spent"


def standing_of(spent_micro_usd: int, budget_micro_usd: int) -> BudgetStanding:
    """Return the standing; a budget of 0 is unlimited. Both amounts are micro-USD."""
    if not budget_micro_usd or spent_micro_usd < NEAR_SHARE * budget_micro_usd:
        return BudgetStanding.NORMAL
    return BudgetStanding.NEAR if spent_micro_usd < budget_micro_usd else BudgetStanding.SPENT


def until_midnight_s(now_s: float) -> float:
    """Return the seconds from `now_s` (Unix seconds) to the next midnight UTC, when budgets reset."""
    return DAY_S - now_s % DAY_S
