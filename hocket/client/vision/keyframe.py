"""Metadata of a keyframe, as delivered with its JPEG."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hocket.vision.v1 import vision_pb2


@dataclass(frozen=True, slots=True)
class Keyframe:
    """Metadata of a frame that was kept.

    Attributes:
        room: Room of the track.
        track: Track id.
        frame_id: Id of the frame, rising within the session.
        captured_at_s: Capture time as passed to `submit`, in seconds.
        width: Width of the upright JPEG in pixels.
        height: Height of the upright JPEG in pixels.
        cause: Reason of the verdict; CAUSE_TIMER where the fallback timer kept the frame.
        by_timer: Whether the fallback timer kept the frame, because no verdict came in time.
    """

    room: str
    track: str
    frame_id: int
    captured_at_s: float
    width: int
    height: int
    cause: vision_pb2.Cause.ValueType
    by_timer: bool


OnKeyframe = Callable[[bytes, Keyframe], None]
