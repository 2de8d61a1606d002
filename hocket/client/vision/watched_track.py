"""State of one track of a watch session: its pacing, its frames pending a verdict, and its last keyframe."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from hocket.vision.v1 import vision_pb2

from hocket.client.vision.frame import Frame
from hocket.client.vision.pacing import PacingRules, TrackPacer, largest_difference_levels
from hocket.client.vision.thumbnail import Thumbnail

# Pause of offers after a refusal; the fallback timer keeps frames meanwhile.
REFUSED_PAUSE_S = 1.0
# Frames pending a verdict per track: 0.27 s at 30 fps, five times the verdict timeout.
PENDING_FRAMES_MAX = 8


@dataclass(slots=True)
class PendingFrame:
    """An offered frame without a verdict; `offered_at_s` is monotonic, `captured_at_s` is of the caller's clock."""

    frame: Frame
    thumbnail: Thumbnail
    captured_at_s: float
    offered_at_s: float


class WatchedTrack:
    """One track of a session. Times are monotonic, in seconds."""

    def __init__(self, room: str, track: str, rules: PacingRules) -> None:
        """Start with nothing offered."""
        self.ref = vision_pb2.TrackRef(room=room, track=track)
        self.pacer = TrackPacer(rules)
        self.pending: OrderedDict[int, PendingFrame] = OrderedDict()
        self.keyframe_thumbnail: Thumbnail | None = None
        self.keyframe_id = 0
        # Time of the last refused offer; None once an offer was accepted.
        self.refused_at_s: float | None = None
        # Time of the oldest pending offer; None while no verdict is due.
        self.pending_since_s: float | None = None

    def add_pending(self, frame_id: int, pending: PendingFrame) -> None:
        """Hold an offered frame until its verdict; drops the oldest beyond PENDING_FRAMES_MAX."""
        self.pending[frame_id] = pending
        if self.refused_at_s is not None:
            self.refused_at_s = pending.offered_at_s
        if self.pending_since_s is None:
            self.pending_since_s = pending.offered_at_s
        if len(self.pending) > PENDING_FRAMES_MAX:
            self.pending.popitem(last=False)

    def take_pending(self, frame_id: int) -> PendingFrame | None:
        """Return the frame whose verdict came, or None if it is no longer held.

        Verdicts come in order: frames offered earlier that are still held get none and are dropped.
        """
        found = self.pending.pop(frame_id, None)
        while self.pending and next(iter(self.pending)) < frame_id:
            self.pending.popitem(last=False)
        self._update_pending_since()
        return found

    def is_paused(self, now_s: float) -> bool:
        """Whether offers pause after a refusal."""
        return self.refused_at_s is not None and now_s - self.refused_at_s < REFUSED_PAUSE_S

    def withdraw(self, frame_id: int) -> None:
        """Drop an offer that was never sent; the next examined frame is offered."""
        self.pending.pop(frame_id, None)
        self._update_pending_since()
        self.pacer.reset()

    def reset(self) -> None:
        """Drop all offers, for a new stream whose server does not know the track."""
        self.pending.clear()
        self.pending_since_s = self.refused_at_s = None
        self.pacer.reset()

    def matches_keyframe(self, thumbnail: Thumbnail, noise_floor_levels: int) -> bool:
        """Whether the last keyframe shows the same picture; a new stream keeps its first frame even so."""
        known = self.keyframe_thumbnail
        return known is not None and largest_difference_levels(known, thumbnail) <= noise_floor_levels

    def _update_pending_since(self) -> None:
        oldest = next(iter(self.pending.values()), None)
        self.pending_since_s = oldest.offered_at_s if oldest else None
