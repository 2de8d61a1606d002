"""Whatever a picture does, a change is kept within the bound of its policy."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.vision.gating.cells_gate import CellsGate
from services.vision.gating.frame_difference import FrameDifference
from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.verdict import Policy, Verdict


def difference(
    changed: int, moved: int, peak: int, mean: float | None = None, keyframe_peak: int | None = None
) -> FrameDifference:
    """Return a difference; its mean defaults to a quarter of the peak over the moved cells."""
    keyframe_peak = (50 if changed else 0) if keyframe_peak is None else keyframe_peak
    return FrameDifference(changed, keyframe_peak, moved, peak, moved / 4096 * peak / 4 if mean is None else mean)


@settings(max_examples=200, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 4096), st.integers(0, 4096), st.integers(0, 255)), min_size=30, max_size=120
    ),
    policy=st.sampled_from([Policy.CELLS, Policy.ECONOMY]),
)
def test_no_change_stays_hidden_longer_than_the_policy_allows(changes, policy):
    """Changes of a word or more are kept within 0.3 s, under economy within 1.1 s."""
    gate = CellsGate(policy, PolicyOptions())
    bound_s = 0.3 if policy is Policy.CELLS else 1.1
    hidden_since = None
    for i, (changed, moved, peak) in enumerate(changes):
        at_s = i / 30
        decision = gate.decide(at_s, difference(changed, moved, peak), speaking=False)
        if decision.ruling.verdict is not Verdict.SKIP or changed <= 3:
            hidden_since = None
        elif hidden_since is None:
            hidden_since = at_s
        assert hidden_since is None or at_s - hidden_since <= bound_s
