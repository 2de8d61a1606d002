"""Decides how soon the next frame of a track is wanted."""

from __future__ import annotations

from services.vision.gating.policy_options import PolicyOptions

# Frames come on a grid of 33 or 40 ms: an interval that ends within this much of a frame has ended.
FRAME_GRID_S = 0.002


def next_frame_in_s(rules: PolicyOptions, at_s: float, active_at_s: float, *, speaking: bool) -> float:
    """Return the wait in seconds: the active interval after a change or while someone speaks, else the idle one."""
    active = speaking or at_s - active_at_s < rules.active_hold_s
    return rules.active_interval_s if active else rules.idle_interval_s
