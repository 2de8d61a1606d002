"""An explicit cache is created where it saves more than it costs."""

from __future__ import annotations

import pytest

from services.llm_router.catalog.tiers import Candidate, PriceRow
from services.llm_router.chat.request import Message, Request, Role, Text
from services.llm_router.prompt_cache.breakpoints import explicit_cache_pays

PRICE = PriceRow("p", 0, 300_000, 2_500_000, 30_000, 300_000, 300_000, storage_per_hour=1_000_000)


def gemini(cache: str = "implicit") -> Candidate:
    return Candidate("g", "gemini", "g", frozenset({"text"}), 10**6, 100, (PRICE,), cache, 4096)


def asked(words: int) -> Request:
    return Request((Message(Role.SYSTEM, (Text("word " * words),)), Message(Role.USER, (Text("x"),))))


@pytest.mark.parametrize(
    ("words", "gap_s", "pays"),
    [(5000, 5, True), (5000, 30, True), (5000, 120, False), (500, 5, False)],
)
def test_explicit_caches_are_for_long_frequently_used_prefixes_only(words: int, gap_s: float, *, pays: bool):
    assert explicit_cache_pays(asked(words), gemini(), gap_s, 0.0) is pays


def test_vendors_with_implicit_caches_get_no_explicit_cache():
    assert not explicit_cache_pays(asked(5000), gemini("explicit"), 5, 0.0)
