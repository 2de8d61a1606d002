"""The table of tiers: which models may answer, what they can do, what they cost and until when they live."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from services.llm_router.catalog.tenant_policy import TenantPolicy, TenantPolicyOverride
from services.llm_router.chat.request import MixMode, Tier

# What vendors put behind the name of a model that stays the same one: a build (-001), a date (-20251001, @20251001,
# -2026-08-06, -09-2026, -preview-05-06), a channel. "-lite", "-5" and "-405b" make another model of it, with another
# price.
_BUILD = re.compile(r"([-@](0\d\d|\d{8})|-\d{4}-\d\d-\d\d|-\d\d-\d{4}|[-:]latest|-(preview|exp)(-\d\d-\d\d(?!\d))?)+")
END_OF_LIFE_WARNING_S = 60 * 86_400
Path = tuple[str | int, ...]
Cache = Literal["none", "implicit", "explicit"]
# How much a model may think before it speaks; empty leaves it to the vendor.
Thinking = Literal["", "off", "minimal", "low", "medium", "high"]


class TableError(ValueError):
    """The table is wrong at `path` (keys and indexes from its root)."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{'.'.join(str(p) for p in path)}: {problem}")


@dataclass(frozen=True, slots=True)
class PriceRow:
    """Prices in micro-USD for a million tokens (storage also for an hour), valid from a moment on.

    `prompt_tokens_max` is the longest prompt the row holds for; None for any.
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
        """The newest row in force at `now_s` (Unix seconds) whose length band holds the prompt."""
        if len(self.prices) == 1:
            return self.prices[0]
        started = [p for p in self.prices if p.valid_from_s <= now_s] or [min(self.prices, key=_valid_from)]
        newest = max(p.valid_from_s for p in started)
        bands = sorted((p for p in started if p.valid_from_s == newest), key=_band)
        return next((p for p in bands if prompt_tokens <= _band(p)), bands[-1])

    def in_service(self, now_s: float) -> bool:
        """Whether the vendor still serves it."""
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
    """Tiers with the aliases of their candidates in order, their shares (sum 1), and the candidates.

    `tenant_tiers` and `tenants` hold what differs for tenants, by their tier (a claim) and by their id.
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
        """The candidates of `tier` in the order in which they are tried."""
        return (self.models[alias] for alias in self.tiers[tier])

    def tier_of(self, alias: str, first: Tier = Tier.SIMPLE) -> Tier:
        """The tier that lists `alias`: `first` if it does, else the cheapest; `first` where none does (any more)."""
        return next((tier for tier in (first, *tuple(Tier)) if alias in self.tiers[tier]), first)

    def near_end_of_life(self, now_s: float) -> list[Candidate]:
        """Candidates in use that end within 60 days of `now_s`, or have ended."""
        used = {alias for aliases in self.tiers.values() for alias in aliases}
        return [
            m
            for m in self.models.values()
            if m.alias in used and m.end_of_life_s is not None and m.end_of_life_s - now_s < END_OF_LIFE_WARNING_S
        ]

    def candidate_served(self, asked: Candidate, name: str) -> Candidate | None:
        """The candidate that the vendor of `asked` calls `name`; None where the table has no price for it.

        A whole name before one with a date or build after it; `asked` itself before others of the same name.
        """
        same_vendor = [asked, *(m for m in self.models.values() if m.provider == asked.provider and m is not asked)]
        for named in (_is_name, _is_build):
            found = [m for m in same_vendor if named(m.vendor_model, name)]
            if found:
                return max(found, key=lambda m: len(m.vendor_model))
        return None

    def with_vendor_model(self, alias: str, vendor_model: str) -> TierTable:
        """The table with the vendor's name of one model replaced."""
        if alias not in self.models:
            return self
        return replace(self, models={**self.models, alias: replace(self.models[alias], vendor_model=vendor_model)})
