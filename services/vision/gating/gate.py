"""Creates the gate of a policy."""

from __future__ import annotations

from services.vision.gating.cells_gate import CellsGate
from services.vision.gating.hash_gate import HashGate
from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.timer_gate import TimerGate
from services.vision.gating.verdict import Policy

Gate = CellsGate | HashGate | TimerGate


def new_gate(policy: Policy, options: PolicyOptions) -> Gate:
    """Return the gate of a new track."""
    if policy is Policy.TIMER:
        return TimerGate(options)
    return CellsGate(policy, options) if policy in {Policy.CELLS, Policy.ECONOMY} else HashGate(options)
