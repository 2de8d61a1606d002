"""Decides how soon the next frame of a track is wanted."""

from __future__ import annotations

from services.vision.gating.policy_options import PolicyOptions

# Frames arrive on a grid of 33 or 40 ms. An interval that ends this soon after a frame counts as elapsed at that frame;
# otherwise rounding would add a whole frame to it.
FRAME_GRID_S = 0.002


def next_frame_in_s(options: PolicyOptions, at_s: float, active_at_s: float, *, speaking: bool) -> float:
    """Return the wait before the next frame: the active interval after a change and during speech, else the idle one.

    Args:
        options: Intervals of the stream.
        at_s: Track time of the current frame, in seconds.
        active_at_s: Track time of the last change, in seconds.
        speaking: Whether the track's participant is speaking.

    Returns:
        Seconds.
    """
    active = speaking or at_s - active_at_s < options.active_hold_s
    return options.active_interval_s if active else options.idle_interval_s
