"""Overrides change the given values only."""

from __future__ import annotations

from services.llm_router.catalog.tenant_policy import TenantPolicy, TenantPolicyOverride
from services.llm_router.chat.request import MixMode, Tier

SHARES = {Tier.SIMPLE: 0.6, Tier.MODERATE: 0.25, Tier.COMPLEX: 0.15}
TERMS = TenantPolicy(MixMode.SHARE, SHARES, 1000)


def test_an_empty_override_changes_nothing():
    assert TenantPolicyOverride().apply_to(TERMS) == TERMS


def test_each_field_is_overridden_independently():
    assert TenantPolicyOverride(mode=MixMode.CAP).apply_to(TERMS) == TenantPolicy(MixMode.CAP, SHARES, 1000)
    assert TenantPolicyOverride(budget_micro_usd=0).apply_to(TERMS) == TenantPolicy(MixMode.SHARE, SHARES, 0)
    half = {Tier.SIMPLE: 0.5, Tier.MODERATE: 0.5, Tier.COMPLEX: 0.0}
    assert TenantPolicyOverride(shares=half).apply_to(TERMS) == TenantPolicy(MixMode.SHARE, half, 1000)
