"""Two promises that only the next process or another replica sees: health by key, and a journal that forgets."""

from __future__ import annotations

import tomllib
from importlib import resources

import pytest

from hocket.chassis import identity
from hocket.chassis.clock import SystemClock
from hocket.client.cost_journal import CostJournal
from services.llm_router.adapters.local_state import LocalState
from services.llm_router.adapters.mesh_ledger import MeshLedger
from services.llm_router.adapters.vendors import VendorAccess
from services.llm_router.conversation import Tier
from services.llm_router.errors import FailureKind, ModelFailure
from services.llm_router.events import Usage
from services.llm_router.inventory import Inventory
from services.llm_router.ports import AttemptCost, AttemptOutcome
from services.llm_router.tiers_reading import read_table


class Tables:
    current = read_table(
        tomllib.loads(resources.files("services.llm_router").joinpath("tiers.toml").read_text("utf-8"))
    )


FLASH = Tables.current.models["gemini-3.8-flash"]
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


def test_a_refused_key_closes_no_model_to_replicas_with_another():
    state = LocalState()
    keys = [VendorAccess(gemini_api_key=key).fingerprint for key in ("old", "old", "new")]
    ours, same, other = (
        Inventory(Tables(), {"gemini": object()}, state, SystemClock(), embedded=False, keys=k) for k in keys
    )
    ours.failed(FLASH, ModelFailure(FailureKind.CREDENTIALS, "401"))
    assert (ours.well(FLASH), same.well(FLASH), other.well(FLASH)) == (False, False, True)


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
def test_an_attempt_that_was_booked_is_gone_from_the_file_of_running_ones(tmp_path):
    recorder, path = Recorder(), tmp_path / "begun"
    begun = CostJournal(path)
    ledger = MeshLedger(recorder, begun)
    ledger.begin(COST)
    assert [event.event_id for _, event in begun.pending()] == ["an-attempt"]
    ledger.book(COST)
    begun.close()
    after_crash = CostJournal(path)
    assert (recorder.events, after_crash.pending()) == (["an-attempt"], [])
    assert path.read_bytes() == b""
    after_crash.close()
