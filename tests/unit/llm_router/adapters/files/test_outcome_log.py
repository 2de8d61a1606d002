"""An outcome that cannot be stored is counted and raises no error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.llm_router.adapters.files.outcome_log import LOST, OutcomeLog
from services.llm_router.adapters.state.memory_state import MemoryState


def lost(cause: str) -> float:
    return LOST.labels(cause)._value.get()


@pytest.mark.parametrize("text", ["{}", "[]", "x", "7"])
async def test_a_turn_in_the_format_of_another_version_is_unknown(tmp_path, text: str):
    state, before = MemoryState(), lost("unreadable")
    state.store_text("turn:acme:t", text)
    assert not await OutcomeLog(tmp_path / "outcomes", state).record_outcome("acme", "t", "accepted")
    assert lost("unreadable") == before + 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no disk that is always full")
async def test_a_full_disk_loses_only_the_outcome(tmp_path):
    before = lost("disk")
    log = OutcomeLog(Path("/dev/full"), MemoryState())
    log.record_decision("acme", "t", {"words": 0.5}, 1, "m")
    assert await log.record_outcome("acme", "t", "accepted")
    assert lost("disk") == before + 1
    log._path = tmp_path / "outcomes"
    assert await log.record_outcome("acme", "t", "accepted")
    log.close()
    assert json.loads((tmp_path / "outcomes").read_text())["turn"] == "acme/t"
