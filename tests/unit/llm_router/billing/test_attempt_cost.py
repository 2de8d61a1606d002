"""A call is recorded under the model that served it, at that model's price."""

from __future__ import annotations

import tomllib

from services.llm_router.adapters.files.tiers_file import shipped_table
from services.llm_router.billing.attempt_cost import AttemptOutcome, cost_of_attempt
from services.llm_router.catalog.schema import read_table
from services.llm_router.chat.events import Usage, UsageUpdate
from services.llm_router.chat.request import Message, Request, Role, Text, Tier

TABLE = read_table(tomllib.loads(shipped_table()))
REQUEST = Request((Message(Role.USER, (Text("Hello?"),)),), room="r", turn_id="t", speculative=True)


def cost(served: str, tokens: int = 1_000_000):
    seen = UsageUpdate(Usage(input_tokens=tokens), served)
    asked = TABLE.models["gemini-2.5-flash"]
    return cost_of_attempt(
        TABLE, REQUEST, asked, seen, event_id="e", tier=Tier.SIMPLE, now_s=1_795_305_600.0, outcome=AttemptOutcome.OK
    )


def test_the_served_model_sets_the_price():
    asked, other = cost(""), cost("gemini-2.5-flash-lite-001")
    assert (asked.model, asked.cost_micro_usd, asked.price_row) == (
        "gemini-2.5-flash",
        300_000,
        "gemini-2.5-flash@2025-06-17",
    )
    assert (other.model, other.cost_micro_usd) == ("gemini-2.5-flash-lite-001", 100_000)
    assert (asked.room, asked.turn_id, asked.speculative) == ("r", "t", True)


def test_any_served_model_name_gives_a_recordable_cost():
    assert cost("gemini\n2.5" + "é" * 200).model == "gemini2.5" + "é" * 59
    assert cost("\x00").model == "gemini-2.5-flash"


def test_a_served_model_without_price_is_recorded_at_the_candidates_price_and_marked():
    unknown, known, free = cost("gemini-9-ultra"), cost("gemini-2.5-flash-001"), cost("gemini-9-ultra", tokens=0)
    assert (unknown.model, unknown.cost_micro_usd, unknown.estimated) == ("gemini-9-ultra", 300_000, True)
    assert (known.cost_micro_usd, known.estimated) == (300_000, False)
    assert not free.estimated
