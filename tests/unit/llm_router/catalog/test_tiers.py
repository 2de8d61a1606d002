"""The tier table, and errors that name the invalid entry."""

from __future__ import annotations

import copy
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.llm_router.adapters.files.tiers_file import shipped_table
from services.llm_router.catalog.schema import read_table
from services.llm_router.catalog.tenant_policy import TenantPolicy
from services.llm_router.catalog.tiers import TableError
from services.llm_router.chat.request import MixMode, Tier

SHIPPED = tomllib.loads(shipped_table())
TABLE = read_table(SHIPPED)


def at(year: int, month: int, day: int) -> float:
    return datetime(year, month, day, tzinfo=UTC).timestamp()


def test_the_shipped_table_has_three_tiers_with_fallback_models():
    assert dict(TABLE.shares) == {Tier.SIMPLE: 0.60, Tier.MODERATE: 0.25, Tier.COMPLEX: 0.15}
    assert [next(TABLE.candidates(t)).alias for t in Tier] == [
        "gemini-2.5-flash-lite",
        "gemini-2.5-flash",
        "claude-sonnet-4-5",
    ]
    later = at(2026, 12, 2)
    assert [next(c.alias for c in TABLE.candidates(t) if c.in_service(later)) for t in Tier] == [
        "gemini-2.5-flash-lite",
        "gemini-3.8-flash",
        "claude-sonnet-5-5",
    ]


def test_a_price_row_is_chosen_by_date_and_prompt_length():
    flash, haiku = TABLE.models["gemini-3.8-flash"], TABLE.models["claude-haiku-5-5"]
    assert flash.price(at(2026, 12, 31), 10).input == 750_000
    assert flash.price(at(2027, 1, 1), 10).input == 1_500_000
    assert haiku.price(at(2026, 11, 22), 100_000).input == 100_000
    assert haiku.price(at(2026, 11, 22), 100_001).input == 500_000


def test_models_within_sixty_days_of_end_of_life_are_listed():
    assert {m.alias for m in TABLE.near_end_of_life(at(2026, 11, 22))} == {"gemini-2.5-flash", "claude-sonnet-4-5"}
    assert TABLE.near_end_of_life(at(2026, 9, 1)) == []


@pytest.mark.parametrize(
    ("asked", "served", "found"),
    [
        ("gemini-2.5-flash", "gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini-2.5-flash", "gemini-2.5-flash-001", "gemini-2.5-flash"),
        ("gemini-2.5-flash", "gemini-2.5-flash-preview-09-2026", "gemini-2.5-flash"),
        ("gemini-2.5-flash", "gemini-2.5-flash-lite-001", "gemini-2.5-flash-lite"),
        ("claude-sonnet-5-5", "claude-haiku-5-5@20261001", "claude-haiku-5-5"),
        ("claude-sonnet-5-5", "claude-sonnet-5-5-20261001", "claude-sonnet-5-5"),
        # Other models with a similar name: the table has no price for them.
        ("gemini-3.8-flash", "gemini-3.8-flash-lite", None),
        ("claude-sonnet-4-5", "claude-sonnet-4", None),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-1", None),
        ("claude-sonnet-5-5", "gemini-2.5-flash", None),
        ("openai-compatible", "anything", None),
    ],
)
def test_a_served_model_is_matched_exactly_or_with_a_build_suffix(asked: str, served: str, found: str | None):
    candidate = TABLE.candidate_served(TABLE.models[asked], served)
    assert (candidate and candidate.alias) == found


def test_the_called_alias_wins_over_another_alias_of_the_same_model():
    asked = TABLE.models["gemini-2.5-flash"]
    thoughtful = replace(asked, alias="thoughtful", thinking="high")
    table = replace(TABLE, models={**TABLE.models, "thoughtful": thoughtful})
    assert table.candidate_served(thoughtful, "gemini-2.5-flash") is thoughtful
    assert table.candidate_served(thoughtful, "gemini-2.5-flash-001") is thoughtful
    assert table.candidate_served(asked, "gemini-2.5-flash") is asked


def test_a_build_with_its_own_prices_is_a_model_of_its_own():
    asked = TABLE.models["gemini-2.5-flash"]
    build = replace(asked, alias="build", vendor_model="gemini-2.5-flash-001")
    table = replace(TABLE, models={**TABLE.models, "build": build})
    assert table.candidate_served(asked, "gemini-2.5-flash-001") is build
    # And a build of that one is nearer to it.
    assert table.candidate_served(asked, "gemini-2.5-flash-001-preview") is build


def test_an_alias_outside_the_table_has_the_default_tier():
    assert TABLE.tier_of("claude-haiku-5-5") is not Tier.COMPLEX
    assert TABLE.tier_of("left", Tier.COMPLEX) is Tier.COMPLEX


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    data = copy.deepcopy(SHIPPED)
    place = data
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), None),
        (("tiers", "simple", "models"), ["no-such"]),
        (("tiers", "simple", "models"), []),
        (("tiers", "simple", "share"), 1.5),
        (("tiers", "simple", "extra"), 1),
        (("models", "claude-sonnet-5-5", "provider"), "acme"),
        (("models", "claude-sonnet-5-5", "capabilities"), ["speech"]),
        (("models", "claude-sonnet-5-5", "prices"), []),
        (("models", "claude-sonnet-5-5", "prices", 0, "input"), -1),
        (("models", "claude-sonnet-5-5", "prices", 0, "input"), 0.00000001),
        (("models", "claude-sonnet-5-5", "prices", 0, "valid_from"), "2026-01-01"),
        (("models", "claude-sonnet-5-5", "context_window_tokens"), 0),
        (("models", "claude-sonnet-5-5", "cache"), "always"),
        (("models", "claude-sonnet-5-5", "thinking"), "hard"),
        (("models", "no alias!"), SHIPPED["models"]["embedded"]),
        (("tenants",), {"acme": {"mix_mode": "free"}}),
        (("tenants",), {"acme": {"budget_usd_per_day": -1}}),
        (("tenants",), {"acme": {"shares": {"simple": 0.5, "moderate": 0.2, "complex": 0.2}}}),
        (("tenant_tiers",), {"free": {"shares": {"simple": 1}}}),
        (("tenant_tiers",), {"free": {"speed": 1}}),
        (("tenant_tiers",), {"pro": {"mix_mode": "cap"}}),
    ],
)
def test_an_invalid_entry_is_reported_by_its_path(path: tuple[Any, ...], value: Any):
    with pytest.raises(TableError) as caught:
        read_table(changed(path, value))
    assert caught.value.path[: len(path)] == path


def test_shares_that_do_not_sum_to_one_are_refused():
    with pytest.raises(TableError, match="add up"):
        read_table(changed(("tiers", "simple", "share"), 0.5))


def test_policy_of_a_tenant_overrides_its_tier_and_the_defaults():
    halves = {"simple": 0.5, "moderate": 0.5, "complex": 0}
    data = changed(("tenant_tiers",), {"free": {"mix_mode": "cap", "budget_usd_per_day": 0.5}})
    data["tenants"] = {"acme": {"shares": halves, "budget_usd_per_day": 2}}
    table = read_table(data)

    def terms(tenant_id: str, tenant_tier: str) -> TenantPolicy:
        return table.policy_of(tenant_id, tenant_tier, mode=MixMode.QUALITY, budget_micro_usd=7)

    own = {Tier.SIMPLE: 0.5, Tier.MODERATE: 0.5, Tier.COMPLEX: 0}
    assert terms("globex", "premium") == TenantPolicy(MixMode.QUALITY, table.shares, 7)
    assert terms("globex", "free") == TenantPolicy(MixMode.CAP, table.shares, 500_000)
    assert terms("acme", "premium") == TenantPolicy(MixMode.QUALITY, own, 2_000_000)
    assert terms("acme", "free") == TenantPolicy(MixMode.CAP, own, 2_000_000)


def test_a_tenant_budget_of_zero_removes_the_budget_of_its_tier():
    data = changed(("tenant_tiers",), {"free": {"budget_usd_per_day": 0.5}})
    data["tenants"] = {"acme": {"budget_usd_per_day": 0}}
    assert read_table(data).policy_of("acme", "free", mode=MixMode.CAP, budget_micro_usd=9).budget_micro_usd == 0
