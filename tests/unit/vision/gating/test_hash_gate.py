"""Hash policies keep a frame by its Hamming distance to the last keyframe."""

from __future__ import annotations

from services.vision.gating.hash_gate import HashGate
from services.vision.gating.policy_options import NEVER_S, PolicyOptions
from services.vision.gating.verdict import Cause, Verdict


def causes(decisions):
    return [d.ruling.cause for d in decisions]


def kept(decisions):
    return [i for i, d in enumerate(decisions) if d.ruling.verdict is not Verdict.SKIP]


def test_a_frame_above_the_threshold_distance_is_kept():
    gate = HashGate(PolicyOptions(hash_threshold_bits=2, refresh_interval_s=NEVER_S))
    hashes = [0, 0b11, 0b111, 0b111, 0]
    decisions = [gate.decide(float(i), h, speaking=False) for i, h in enumerate(hashes)]
    assert causes(decisions) == [Cause.FIRST, Cause.UNCHANGED, Cause.DISTANCE, Cause.UNCHANGED, Cause.DISTANCE]
    assert [d.distance_bits for d in decisions] == [0, 2, 3, 0, 3]


def test_hashes_are_compared_with_the_last_keyframe():
    gate = HashGate(PolicyOptions(hash_threshold_bits=3, refresh_interval_s=NEVER_S))
    drift = [(1 << i) - 1 for i in range(9)]
    assert kept([gate.decide(float(i), h, speaking=False) for i, h in enumerate(drift)]) == [0, 4, 8]
