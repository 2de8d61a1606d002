"""A conversation climbs at once and descends late."""

from __future__ import annotations

from services.llm_router.chat.events import Usage
from services.llm_router.chat.request import Tier
from services.llm_router.routing.sessions import (
    CACHE_TTL_LONG_S,
    CACHE_TTL_S,
    SESSION_TTL_S,
    TURNS_HELD,
    Session,
    after_turn,
    holds_tier,
)

NOTHING = Usage()

HIGH = Session(Tier.COMPLEX, "claude", seen_s=100.0)


def test_a_tier_is_held_for_two_easier_turns():
    session, held = HIGH, 0
    while holds_tier(session, Tier.SIMPLE, 100.0):
        held += 1
        session = after_turn(
            session, tier=Tier.COMPLEX, mix_tier=Tier.SIMPLE, model="claude", usage=NOTHING, now_s=100.0
        )
    assert held == TURNS_HELD


def test_a_hard_turn_restarts_the_hold():
    eased = Session(Tier.COMPLEX, "claude", easier_turns=2, seen_s=100.0)
    again = after_turn(eased, tier=Tier.COMPLEX, mix_tier=Tier.COMPLEX, model="claude", usage=NOTHING, now_s=101.0)
    assert again.easier_turns == 0


def test_the_hold_ends_for_harder_turns_and_after_an_hour():
    assert not holds_tier(Session(Tier.SIMPLE, "lite", seen_s=100.0), Tier.COMPLEX, 100.0)
    assert not holds_tier(HIGH, Tier.SIMPLE, 100.0 + SESSION_TTL_S)


def test_caches_are_remembered_by_model_until_they_expire():
    first = after_turn(
        None,
        tier=Tier.COMPLEX,
        mix_tier=Tier.COMPLEX,
        model="claude",
        usage=Usage(cache_write_5m_tokens=1500),
        now_s=0.0,
    )
    second = after_turn(first, tier=Tier.SIMPLE, mix_tier=Tier.SIMPLE, model="lite", usage=NOTHING, now_s=10.0)
    assert second.warm_tokens("claude", CACHE_TTL_S - 1) == 1500
    assert second.warm_tokens("claude", CACHE_TTL_S + 1) == 0
    assert second.warm_tokens("lite", 10.0) == 0


def turn(before: Session | None, usage: Usage, now_s: float) -> Session:
    return after_turn(before, tier=Tier.COMPLEX, mix_tier=Tier.COMPLEX, model="claude", usage=usage, now_s=now_s)


def test_a_one_hour_cache_is_remembered_for_an_hour_and_renewed_by_a_read():
    written = turn(None, Usage(cache_write_1h_tokens=1500), 0.0)
    assert written.warm_tokens("claude", CACHE_TTL_LONG_S - 1) == 1500
    read = turn(written, Usage(cached_input_tokens=1500), 1000.0)
    assert read.warm_tokens("claude", 1000.0 + CACHE_TTL_LONG_S - 1) == 1500
    shorter = turn(read, Usage(cached_input_tokens=1500, cache_write_5m_tokens=50), 2000.0)
    assert shorter.warm_tokens("claude", 2000.0 + CACHE_TTL_S + 1) == 0
