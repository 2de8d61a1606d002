"""Breakpoints stand where a prefix is long enough and is sent again."""

from __future__ import annotations

import pytest

from services.llm_router.catalog.tiers import Candidate, PriceRow
from services.llm_router.chat.normalize import normalize_turns
from services.llm_router.chat.request import Message, Passage, Request, Role, Text
from services.llm_router.prompt_cache.breakpoints import CachePlan, PrefixGaps, plan_cache, ttl_for

PRICE = PriceRow("p", 0, 0, 0, 0, 0, 0)
CLAUDE = Candidate(
    "claude", "anthropic", "claude", frozenset({"text"}), 10**6, 100, (PRICE,), "explicit", cache_prefix_tokens_min=1024
)
LONG = "Follow the rules of the house. " * 200


def plan(system: str, *turns: Message, candidate: Candidate = CLAUDE) -> CachePlan:
    request = Request((Message(Role.SYSTEM, (Text(system),)), *turns))
    return plan_cache(request, normalize_turns(request.turns), candidate)


def user(text: str, *parts: Passage) -> Message:
    return Message(Role.USER, (*parts, Text(text)))


def test_a_short_prefix_is_not_marked():
    assert plan("Be brief.", user("Hello?")) == CachePlan()


def test_long_instructions_and_the_last_turn_are_marked():
    assert plan(LONG, user("Hello?")) == CachePlan(system=True, turn=0)


def test_passages_of_the_last_question_are_outside_the_cached_prefix():
    found = Passage("d", "t", "We open at 9.")
    agent = Message(Role.ASSISTANT, (Text("Hi."),))
    assert plan(LONG, user("Hello?"), agent, user("When?", found)) == CachePlan(system=True, turn=1)


def test_a_long_conversation_with_short_instructions_is_marked():
    assert plan("Be brief.", user(LONG)) == CachePlan(system=False, turn=0)


def test_only_models_with_explicit_caches_get_breakpoints():
    implicit = Candidate("g", "gemini", "g", frozenset({"text"}), 10**6, 100, (PRICE,), "implicit")
    assert plan(LONG, user("Hello?"), candidate=implicit) == CachePlan()


@pytest.mark.parametrize(("gap_s", "ttl"), [(None, "5m"), (20, "5m"), (900, "1h"), (7200, "5m")])
def test_a_one_hour_cache_is_used_for_gaps_between_five_minutes_and_one_hour(gap_s: float | None, ttl: str):
    assert ttl_for(gap_s) == ttl


def prefixed(rules: str) -> Request:
    return Request((Message(Role.SYSTEM, (Text(rules),)), user("x")))


def test_the_typical_gap_between_requests_of_one_prefix_is_learned():
    gaps = PrefixGaps()

    # None is held: a request is gone after its answer, and the next one may stand where it stood.
    asked = (("one", 0), ("other", 10), ("one", 900), ("one", 1800), ("one", 1800))
    told = [gaps.observe(prefixed(rules), "sonnet", at_s) for rules, at_s in asked]
    assert told == [None, None, 900, pytest.approx(900), pytest.approx(630)]


def test_gaps_ignore_further_attempts_of_a_request_and_other_models():
    gaps, first, second = PrefixGaps(), prefixed("one"), prefixed("one")
    assert [gaps.observe(first, "flash", at_s) for at_s in (0, 1, 2)] == [None, None, None]
    assert gaps.observe(first, "acme/pro", 2) is None
    assert [gaps.observe(second, "flash", at_s) for at_s in (600, 601)] == [600, 600]
