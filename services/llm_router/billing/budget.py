"""Where a tenant stands with its money: normal, near the end of its budget, or through it."""

from __future__ import annotations

from enum import StrEnum

# From this share of the budget on the tenant is moved to the cheapest tier, so that it is not refused soon after.
NEAR_SHARE = 0.8
DAY_S = 86_400


class BudgetStanding(StrEnum):
    """What a tenant's money allows."""

    NORMAL = "normal"
    NEAR = "near"
    SPENT = "spent"


def standing_of(spent_micro_usd: int, budget_micro_usd: int) -> BudgetStanding:
    """The standing of a tenant; a budget of 0 is none."""
    if not budget_micro_usd or spent_micro_usd < NEAR_SHARE * budget_micro_usd:
        return BudgetStanding.NORMAL
    return BudgetStanding.NEAR if spent_micro_usd < budget_micro_usd else BudgetStanding.SPENT


def until_midnight_s(now_s: float) -> float:
    """Seconds from `now_s` (Unix seconds) to the next midnight UTC, when budgets begin anew."""
    return DAY_S - now_s % DAY_S
