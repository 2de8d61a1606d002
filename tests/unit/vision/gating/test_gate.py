"""Each policy creates its kind of gate."""

from __future__ import annotations

import pytest

from services.vision.gating.cells_gate import CellsGate
from services.vision.gating.gate import new_gate
from services.vision.gating.hash_gate import HashGate
from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.timer_gate import TimerGate
from services.vision.gating.verdict import Policy

KINDS = {
    Policy.CELLS: CellsGate,
    Policy.ECONOMY: CellsGate,
    Policy.PHASH: HashGate,
    Policy.DHASH: HashGate,
    Policy.AHASH: HashGate,
    Policy.TIMER: TimerGate,
}


@pytest.mark.parametrize("policy", Policy)
def test_a_policy_creates_its_kind_of_gate(policy):
    assert type(new_gate(policy, PolicyOptions())) is KINDS[policy]
