"""The table of tiers: models, capabilities, prices with validity dates, end of life, and tenant policies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from services.llm_router.catalog.tenant_policy import TenantPolicy, TenantPolicyOverride
from services.llm_router.chat.request import MixMode, Tier

# Suffixes that do not change the model: a build (-001), a date (-20251001, @20251001, -2026-08-06, -09-2026,
# -preview-05-06) or a channel. "-lite", "-5" and "-405b" name other models with other prices.
_BUILD = re.compile(r"([-@](0\d\d|\d{8})|-\d{4}-\d\d-\d\d|-\d\d-\d{4}|[-:]latest|-(preview|exp)(-\d\d-\d\d(?!\d))?)+")
END_OF_LIFE_WARNING_S = 60 * 86_400
Path = tuple[str | int, ...]
Cache = Literal["none", "implicit", "explicit"]
# Thinking effort before the answer; empty leaves it to the vendor.
Thinking = Literal["", "off", "minimal", "low", "medium", "high"]


class TableError(ValueError):
    """The table is invalid at `path` (keys and indexes from its root)."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{'.'.join(str(p) for p in path)}: {problem}")


@dataclass(frozen=True, slots=True)
class PriceRow:
    """Prices in micro-USD for a million tokens (storage: for a million tokens and an hour), from `valid_from_s` on.

    `prompt_tokens_max` is the longest prompt for which the row holds; None for any length.
    """

    name: str
    valid_from_s: float
    input: int
    output: int
    cached_input: int
    cache_write_5m: int
    cache_write_1h: int
    storage_per_hour: int = 0
    prompt_tokens_max: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may answer."""

    alias: str
    provider: str
    vendor_model: str
    capabilities: frozenset[str]
    context_window_tokens: int
    output_tokens_max: int
    prices: tuple[PriceRow, ...]
    cache: Cache = "none"
    cache_prefix_tokens_min: int = 0
    end_of_life_s: float | None = None
    thinking: Thinking = ""

    def price(self, now_s: float, prompt_tokens: int) -> PriceRow:
        """Return the price row for a prompt.

        Of the rows in force the newest date counts; of that date, the narrowest band that holds the prompt.

        Args:
            now_s: Unix seconds.
            prompt_tokens: Length of the prompt.
        """
        if len(self.prices) == 1:
            return self.prices[0]
        started = [p for p in self.prices if p.valid_from_s <= now_s] or [min(self.prices, key=_valid_from)]
        newest = max(p.valid_from_s for p in started)
        bands = sorted((p for p in started if p.valid_from_s == newest), key=_band)
        return next((p for p in bands if prompt_tokens <= _band(p)), bands[-1])

    def in_service(self, now_s: float) -> bool:
        """True until the vendor's end-of-life date."""
        return self.end_of_life_s is None or now_s < self.end_of_life_s


def _valid_from(row: PriceRow) -> float:
    return row.valid_from_s


def _band(row: PriceRow) -> float:
    return float("inf") if row.prompt_tokens_max is None else row.prompt_tokens_max


def _is_name(model: str, served: str) -> bool:
    return served == model


def _is_build(model: str, served: str) -> bool:
    return bool(model) and served.startswith(model) and _BUILD.fullmatch(served, len(model)) is not None


@dataclass(frozen=True, slots=True)
class TierTable:
    """Tiers with the ordered aliases of their candidates, their shares (sum 1), and the candidates.

    `tenant_tiers` and `tenants` hold policy overrides by tenant tier and by tenant id.
    """

    version: str
    models: Mapping[str, Candidate]
    tiers: Mapping[Tier, tuple[str, ...]]
    shares: Mapping[Tier, float] = field(default_factory=dict[Tier, float])
    tenant_tiers: Mapping[str, TenantPolicyOverride] = field(default_factory=dict[str, TenantPolicyOverride])
    tenants: Mapping[str, TenantPolicyOverride] = field(default_factory=dict[str, TenantPolicyOverride])

    def policy_of(self, tenant_id: str, tenant_tier: str, *, mode: MixMode, budget_micro_usd: int) -> TenantPolicy:
        """Return the policy of a tenant: its own entries override those of its tier, which override the defaults.

        Computed for each request, so that a reloaded table takes effect with the next one.

        Args:
            tenant_id: Tenant of the caller's token.
            tenant_tier: Its tier: "free", "standard" or "premium".
            mode: Mix mode where the table names none.
            budget_micro_usd: Budget of a day (UTC) in micro-USD where the table names none; 0 is unlimited.
        """
        policy = TenantPolicy(mode, self.shares, budget_micro_usd)
        for change in (self.tenant_tiers.get(tenant_tier), self.tenants.get(tenant_id)):
            policy = policy if change is None else change.apply_to(policy)
        return policy

    def candidates(self, tier: Tier) -> Iterator[Candidate]:
        """Return the candidates of `tier` in the order of trying."""
        return (self.models[alias] for alias in self.tiers[tier])

    def tier_of(self, alias: str, first: Tier = Tier.SIMPLE) -> Tier:
        """Return the tier that lists `alias`: `first` if it does, else the cheapest; `first` where none does."""
        return next((tier for tier in (first, *tuple(Tier)) if alias in self.tiers[tier]), first)

    def near_end_of_life(self, now_s: float) -> list[Candidate]:
        """Return the listed candidates whose end of life is past or within 60 days of `now_s` (Unix seconds)."""
        used = {alias for aliases in self.tiers.values() for alias in aliases}
        return [
            m
            for m in self.models.values()
            if m.alias in used and m.end_of_life_s is not None and m.end_of_life_s - now_s < END_OF_LIFE_WARNING_S
        ]

    def candidate_served(self, called: Candidate, name: str) -> Candidate | None:
        """Return the candidate that the vendor of `called` calls `name`, or None when the table has no price for it.

        An exact name wins over one with a date or build suffix; `called` wins over others of the same name.
        """
        same_vendor = [called, *(m for m in self.models.values() if m.provider == called.provider and m is not called)]
        for named in (_is_name, _is_build):
            found = [m for m in same_vendor if named(m.vendor_model, name)]
            if found:
                return max(found, key=lambda m: len(m.vendor_model))
        return None

    def with_vendor_model(self, alias: str, vendor_model: str) -> TierTable:
        """Return the table with the vendor's name of one model replaced."""
        if alias not in self.models:
            return self
        return replace(self, models={**self.models, alias: replace(self.models[alias], vendor_model=vendor_model)})
