"""The decision: order of rules, gates, candidates and estimated costs."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.llm_router.adapters.files.tiers_file import shipped_table
from services.llm_router.catalog.schema import read_table
from services.llm_router.catalog.tiers import Candidate
from services.llm_router.chat.request import ImagePart, Message, MixMode, Request, Role, Text, Tier, ToolResult
from services.llm_router.errors import AllModelsFailed, NoCapableModel
from services.llm_router.routing.complexity import SurfaceScorer
from services.llm_router.routing.decision import BREAKER_OPEN, Cause, Decision, RoutingContext, decide
from services.llm_router.routing.sessions import Session, WarmCache
from services.llm_router.routing.tier_mix import TierMix, tie_break

TABLE = read_table(tomllib.loads(shipped_table())).with_vendor_model("openai-compatible", "local")
NOW_S = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
LATER_S = datetime(2027, 2, 1, tzinfo=UTC).timestamp()
SONNET = "claude-sonnet-5-5"


def vendors(candidate: Candidate) -> str | None:
    return "off" if candidate.provider in {"embedded", "openai"} else None


def asked(text: str = "Hello?", system: str = "", **values: object) -> Request:
    head = (Message(Role.SYSTEM, (Text(system),)),) if system else ()
    return Request((*head, Message(Role.USER, (Text(text),))), **values)


def decided(request: Request, mode: MixMode = MixMode.QUALITY, **values: object) -> Decision:
    given = {"now_s": NOW_S, "tie": 0.5, "usable": vendors, **values}
    mix = TierMix(TABLE.shares)
    return decide(request, SurfaceScorer().score(request), mix, RoutingContext(table=TABLE, mode=mode, **given))


def test_easy_requests_go_to_the_simple_tier_and_hard_ones_to_the_complex_tier():
    easy, hard = decided(asked("Lights on.")), decided(asked("Prove, step by step, that 1 + 2 = 3. " * 60))
    assert (easy.tier, easy.cause) == (Tier.SIMPLE, Cause.SCORE)
    assert (hard.tier, hard.cause) == (Tier.COMPLEX, Cause.SCORE)


def test_a_pinned_model_is_the_only_candidate_and_a_pinned_tier_comes_first():
    model, tier = decided(asked(pin_model=SONNET)), decided(asked(pin_tier=Tier.MODERATE))
    assert ([c.alias for c in model.candidates], model.cause) == ([SONNET], Cause.PINNED_MODEL)
    assert (tier.candidates[0].alias, tier.cause) == ("gemini-2.5-flash", Cause.PINNED_TIER)


def test_a_pinned_model_removed_by_a_reload_is_reported():
    with pytest.raises(NoCapableModel, match="gone is no longer in the tiers file"):
        decided(asked(pin_model="gone"))


def test_candidates_are_the_tier_then_higher_then_lower_tiers():
    candidates = [c.alias for c in decided(asked(pin_tier=Tier.MODERATE), now_s=LATER_S).candidates]
    assert candidates == [
        "gemini-3.8-flash",
        "gemini-3.5-flash-lite",
        "claude-haiku-5-5",
        SONNET,
        "gemini-2.5-flash-lite",
    ]


def test_the_embedded_answerer_is_the_last_candidate():
    candidates = decided(asked(pin_tier=Tier.SIMPLE), usable=lambda _: None).candidates
    assert [c.provider for c in candidates].index("embedded") == len(candidates) - 1


def test_a_model_past_its_end_of_life_is_not_a_candidate():
    candidates = [c.alias for c in decided(asked(pin_tier=Tier.COMPLEX), now_s=LATER_S).candidates]
    assert candidates[0] == SONNET


def test_images_need_a_vision_model_and_the_cause_is_gate():
    picture = ImagePart(b"x", "image/png", 1, 1)
    request = Request((Message(Role.USER, (Text("What is it?"), picture)),))
    blind = {a: m if a == SONNET else replace(m, capabilities=frozenset({"text"})) for a, m in TABLE.models.items()}
    scored, mix = SurfaceScorer().score(request), TierMix(TABLE.shares)
    context = RoutingContext(replace(TABLE, models=blind), NOW_S, MixMode.QUALITY, 0.5, vendors)
    decision = decide(request, scored, mix, context)
    assert (decision.tier, decision.cause, decision.candidates[0].alias) == (Tier.COMPLEX, Cause.GATE, SONNET)
    assert decision.counted is None


def test_an_unavailable_tier_still_counts_in_the_mix():
    mix, scorer, served = TierMix(TABLE.shares), SurfaceScorer(), []
    only = lambda c: None if c.alias in {"claude-haiku-5-5", SONNET} else "off"  # noqa: E731 - a name says less
    table = replace(TABLE, tiers={**TABLE.tiers, Tier.MODERATE: ("gemini-3.8-flash",)})
    for number in range(400):
        request = asked("Lights on.")
        decision = decide(
            request, scorer.score(request), mix, RoutingContext(table, NOW_S, MixMode.SHARE, tie_break(number), only)
        )
        mix.count(decision.score, decision.counted)
        served.append((decision.tier, decision.cause))
    assert [t for t, _ in served].count(Tier.SIMPLE) == pytest.approx(240, abs=3)
    assert (Tier.COMPLEX, Cause.TIER_AWAY) in served


def test_a_prompt_longer_than_the_context_window_moves_to_a_larger_model():
    long = decided(asked("word " * 200_000, pin_tier=Tier.COMPLEX))
    assert "claude-sonnet-4-5" not in [c.alias for c in long.candidates]


def test_an_open_tool_call_stays_with_its_model():
    session = Session(Tier.COMPLEX, SONNET, seen_s=NOW_S)
    request = Request((Message(Role.USER, (Text("x"),)), Message(Role.TOOL, (ToolResult("c", "t", "1"),))))
    decision = decided(request, session=session)
    assert (decision.cause, decision.candidates[0].alias) == (Cause.OPEN_TOOL_CALL, SONNET)


def test_an_open_tool_call_stays_with_a_fallback_model_of_another_tier():
    session = Session(Tier.SIMPLE, SONNET, seen_s=NOW_S)
    request = Request((Message(Role.USER, (Text("x"),)), Message(Role.TOOL, (ToolResult("c", "t", "1"),))))
    decision = decided(request, session=session)
    assert (decision.cause, decision.tier, decision.candidates[0].alias) == (Cause.OPEN_TOOL_CALL, Tier.SIMPLE, SONNET)


def test_a_conversation_stays_in_a_higher_tier_for_its_first_easier_turns():
    session = Session(Tier.COMPLEX, SONNET, seen_s=NOW_S)
    assert decided(asked("Thanks."), session=session).cause is Cause.SESSION


def test_a_warm_model_is_kept_when_a_cold_cheaper_model_costs_more():
    rules = "Follow the rules of the house. " * 1500
    warm = Session(Tier.COMPLEX, SONNET, easier_turns=9, warm={SONNET: WarmCache(13_000, NOW_S + 60)}, seen_s=NOW_S)
    only_flash = {"gemini-3.5-flash-lite", SONNET}
    usable = lambda c: None if c.alias in only_flash else "off"  # noqa: E731 - a name says less
    stays = decided(asked("Thanks.", rules, max_output_tokens=50), session=warm, usable=usable)
    cold = Session(Tier.COMPLEX, SONNET, easier_turns=9, seen_s=NOW_S)
    goes = decided(asked("Thanks.", rules, max_output_tokens=50), session=cold, usable=usable)
    assert (stays.cause, stays.candidates[0].alias) == (Cause.WARM_CACHE, SONNET)
    assert goes.tier is Tier.SIMPLE


def test_the_warm_model_of_a_tier_comes_before_its_cold_first_model():
    rules = "Follow the rules of the house. " * 1500
    warm = {"claude-haiku-5-5": WarmCache(13_000, NOW_S + 60)}
    session = Session(Tier.COMPLEX, "claude-sonnet-4-5", easier_turns=9, warm=warm, seen_s=NOW_S)
    assert decided(asked("Thanks.", rules), session=session).candidates[0].alias == "claude-haiku-5-5"
    cold = Session(Tier.COMPLEX, "claude-sonnet-4-5", easier_turns=9, seen_s=NOW_S)
    assert decided(asked("Thanks.", rules), session=cold).candidates[0].alias == "gemini-2.5-flash-lite"


def test_a_tenant_near_its_budget_gets_the_simple_tier():
    hard = asked("Prove, step by step, that 1 + 2 = 3. " * 60)
    decision = decided(hard, cheapest_only=True)
    assert (decision.tier, decision.cause) == (Tier.SIMPLE, Cause.BUDGET)
    # Else the mix would pay the cheap answers back in dear ones.
    assert decision.counted is None


def test_alternatives_have_a_cost_and_a_reason():
    decision = decided(asked(pin_model=SONNET))
    told = {a.model: a for a in decision.alternatives}
    assert SONNET not in told
    assert told["claude-sonnet-4-5"].cost_micro_usd > told["claude-haiku-5-5"].cost_micro_usd > 0
    assert told["embedded"].why_not == "off"


def test_no_capable_model_is_failed_precondition_and_open_breakers_are_unavailable():
    with pytest.raises(NoCapableModel):
        decided(asked(), usable=lambda _: "off")
    with pytest.raises(AllModelsFailed):
        decided(asked(), usable=lambda _: BREAKER_OPEN)
