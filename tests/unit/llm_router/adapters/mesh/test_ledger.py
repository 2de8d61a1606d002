"""Costs of running attempts are journalled and removed once recorded."""

from __future__ import annotations

import pytest

from hocket.chassis import identity
from hocket.client.ledger import CostJournal
from services.llm_router.adapters.mesh.ledger import MeshLedger
from services.llm_router.billing.attempt_cost import AttemptCost, AttemptOutcome
from services.llm_router.chat.events import Usage
from services.llm_router.chat.request import Tier

COST = AttemptCost(
    event_id="an-attempt",
    ended_at_s=1e9,
    provider="gemini",
    model="gemini-3.8-flash",
    tier=Tier.MODERATE,
    usage=Usage(input_tokens=10),
    cost_micro_usd=7,
    price_row="gemini-3.8-flash@2026-09-01",
    outcome=AttemptOutcome.FAILED,
    speculative=False,
    room="",
    turn_id="",
)


class Recorder:
    def __init__(self) -> None:
        self.events: list[str] = []

    def record(self, event) -> None:
        self.events.append(event.event_id)


@pytest.fixture
def _caller():
    identity.bind(identity.Identity("acme", "standard", "test", frozenset(), "token"))
    yield
    identity.bind(None)


@pytest.mark.usefixtures("_caller")
def test_a_recorded_attempt_is_removed_from_the_journal_of_running_ones(tmp_path):
    recorder, path = Recorder(), tmp_path / "begun"
    begun = CostJournal(path)
    ledger = MeshLedger(recorder, begun)
    ledger.reserve(COST)
    assert [event.event_id for _, event in begun.pending()] == ["an-attempt"]
    ledger.record(COST)
    begun.close()
    after_crash = CostJournal(path)
    assert (recorder.events, after_crash.pending()) == (["an-attempt"], [])
    assert path.read_bytes() == b""
    after_crash.close()
