"""The policy of a tenant: mix mode, shares of tiers, and budget of a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.llm_router.chat.request import MixMode, Tier


@dataclass(frozen=True, slots=True)
class TenantPolicy:
    """`shares` of the tiers add up to 1; `budget_micro_usd` is micro-USD for a day (UTC), 0 for unlimited."""

    mode: MixMode
    shares: Mapping[Tier, float]
    budget_micro_usd: int = 0


@dataclass(frozen=True, slots=True)
class TenantPolicyOverride:
    """Changes for one tenant or one tenant tier; None keeps the value."""

    mode: MixMode | None = None
    shares: Mapping[Tier, float] | None = None
    budget_micro_usd: int | None = None

    def apply_to(self, terms: TenantPolicy) -> TenantPolicy:
        """Return `policy` with these changes."""
        return TenantPolicy(
            mode=terms.mode if self.mode is None else self.mode,
            shares=terms.shares if self.shares is None else self.shares,
            budget_micro_usd=terms.budget_micro_usd if self.budget_micro_usd is None else self.budget_micro_usd,
        )
