"""Tenant policies come from the tiers file, by the claims of the token."""

from __future__ import annotations

from pathlib import Path

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb

from hocket.chassis import errors
from hocket.client.llm_router import RouterClient
from services.llm_router.adapters.files.tiers_file import shipped_table
from tests.emulators.router_harness import asking, running_router

SHIPPED = shipped_table()
TERMS = """
[tenant_tiers.free]
budget_usd_per_day = 0.0001

[tenants.acme]
mix_mode = "share"
shares = { simple = 0, moderate = 0, complex = 1 }
"""


def tiers_file(folder: Path) -> Path:
    path = folder / "tiers.toml"
    path.write_text(SHIPPED + TERMS, "utf-8")
    return path


async def tiers_of(client: RouterClient, count: int) -> set[pb.Tier.ValueType]:
    return {(await client.route(asking("What time is it?"))).tier for _ in range(count)}


async def test_a_tenant_can_have_its_own_shares(tmp_path):
    async with running_router(tiers_file=tiers_file(tmp_path)) as w, w.caller("globex") as other:
        assert await tiers_of(w.client, 10) == {pb.TIER_COMPLEX}
        assert pb.TIER_SIMPLE in await tiers_of(other, 10)


async def test_the_budget_of_a_tenant_tier_applies_to_each_tenant_separately(tmp_path):
    async with (
        running_router(tiers_file=tiers_file(tmp_path)) as w,
        w.caller("globex", "free") as spent,
        w.caller("initech", "free") as fresh,
        w.caller("hooli", "premium") as unbound,
    ):
        asked = asking("Hello?", pin_model="claude-sonnet-5-5")
        for client in (spent, fresh, unbound, unbound):
            assert [event async for event in client.generate(asked)][-1].finish.cost_micro_usd > 100
        with pytest.raises(errors.ResourceExhausted) as caught:
            [event async for event in spent.generate(asked)]
    assert caught.value.reason == "BUDGET_EXHAUSTED"
    assert 0 < (caught.value.retry_after_s or 0) <= 86_400
