"""What a session knows of its tracks and tells of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from hocket.vision.v1 import vision_pb2

from hocket.client.vision.frame import Frame
from hocket.client.vision.pacing import PacingRules, TrackPacer, moved_levels
from hocket.client.vision.thumbnail import Thumbnail

# A track whose offer was refused is kept by the timer meanwhile and offered again after so long.
REFUSED_REST_S = 1.0
FRAMES_HELD_MAX = 8  # per track: a quarter of a second at 30 fps, five times the verdict's deadline


@dataclass(frozen=True, slots=True)
class Keyframe:
    """What is known of a kept frame. `by_timer` is set where no verdict came in time and the caller's timer kept it."""

    room: str
    track: str
    frame_id: int
    captured_at_s: float
    width: int
    height: int
    cause: vision_pb2.Cause.ValueType
    by_timer: bool


OnKeyframe = Callable[[bytes, Keyframe], None]


@dataclass(slots=True)
class SessionStats:
    """Counts of a session. Frames seen = not looked at + suppressed + offered + kept by the timer unoffered."""

    seen: int = 0
    looked_at: int = 0
    suppressed: int = 0
    offered: int = 0
    kept: int = 0
    refreshed: int = 0
    kept_by_timer: int = 0
    rejected: int = 0
    dropped: int = 0
    messages: int = 0
    offer_bytes: int = 0
    jpeg_bytes: int = 0
    reconnects: int = 0


@dataclass(slots=True)
class HeldFrame:
    """A frame that waits for its verdict. `offered_at_s` is of the monotonic clock."""

    frame: Frame
    cells: Thumbnail
    captured_at_s: float
    offered_at_s: float


class WatchedTrack:
    """One track: its pace, and the frames that wait for their verdicts."""

    def __init__(self, room: str, track: str, rules: PacingRules) -> None:
        """Begin with nothing offered."""
        self.ref = vision_pb2.TrackRef(room=room, track=track)
        self.pacer = TrackPacer(rules)
        self.kept_cells: Thumbnail | None = None
        self.held: OrderedDict[int, HeldFrame] = OrderedDict()
        self.kept_id = 0
        # When the server last refused an offer, on the monotonic clock; None once it has taken one.
        self.refused_at_s: float | None = None
        # Since when no verdict has come, on the monotonic clock; None while none is due.
        self.waiting_since_s: float | None = None

    def hold(self, frame_id: int, held: HeldFrame) -> None:
        """Hold a frame that is offered; the oldest gives way."""
        self.held[frame_id] = held
        if self.refused_at_s is not None:
            self.refused_at_s = held.offered_at_s
        if self.waiting_since_s is None:
            self.waiting_since_s = held.offered_at_s
        if len(self.held) > FRAMES_HELD_MAX:
            self.held.popitem(last=False)

    def rests(self, now_s: float) -> bool:
        """Whether nothing is offered for now, because the last offer was refused."""
        return self.refused_at_s is not None and now_s - self.refused_at_s < REFUSED_REST_S

    def withdraw(self, frame_id: int) -> None:
        """An offer was never sent: the next look is offered."""
        self.held.pop(frame_id, None)
        self._wait_for_oldest()
        self.pacer.reset()

    def forget_offers(self) -> None:
        """The server knows nothing of this track (a new stream)."""
        self.held.clear()
        self.waiting_since_s = self.refused_at_s = None
        self.pacer.reset()

    def shows_what_was_kept(self, cells: Thumbnail, noise_floor_levels: int) -> bool:
        """Whether the last kept frame showed the same: a new stream keeps its first frame, which may be no news."""
        return self.kept_cells is not None and moved_levels(self.kept_cells, cells) <= noise_floor_levels

    def answered(self, frame_id: int) -> HeldFrame | None:
        """A verdict over `frame_id` came: the frame, if it is still held.

        Verdicts come in order: what was offered before and is held yet will have none.
        """
        held = self.held.pop(frame_id, None)
        while self.held and next(iter(self.held)) < frame_id:
            self.held.popitem(last=False)
        self._wait_for_oldest()
        return held

    def _wait_for_oldest(self) -> None:
        oldest = next(iter(self.held.values()), None)
        self.waiting_since_s = oldest.offered_at_s if oldest else None
