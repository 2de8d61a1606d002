"""What a tenant is given: how its mix of tiers is held, with which shares, and what it may spend in a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.llm_router.chat.request import MixMode, Tier


@dataclass(frozen=True, slots=True)
class TenantPolicy:
    """`shares` of the tiers add up to 1; `budget_micro_usd` is for a day (UTC), 0 for no budget."""

    mode: MixMode
    shares: Mapping[Tier, float]
    budget_micro_usd: int = 0


@dataclass(frozen=True, slots=True)
class TenantPolicyOverride:
    """What differs for one tenant, or for all tenants of a tier; None leaves it as it is."""

    mode: MixMode | None = None
    shares: Mapping[Tier, float] | None = None
    budget_micro_usd: int | None = None

    def apply_to(self, terms: TenantPolicy) -> TenantPolicy:
        """`terms` with these changes."""
        return TenantPolicy(
            mode=terms.mode if self.mode is None else self.mode,
            shares=terms.shares if self.shares is None else self.shares,
            budget_micro_usd=terms.budget_micro_usd if self.budget_micro_usd is None else self.budget_micro_usd,
        )
