"""The tracks of one stream: which offers are in order, what time it is on each track, how many there may be."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from services.vision.admission.track_quota import TrackQuota
from services.vision.errors import TooManyTracks, WrongOrder
from services.vision.gating.gate import Gate, new_gate
from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.verdict import Policy
from services.vision.stats.stats_table import StatsRow, StatsTable, TrackKey

# Kept frames of a track that may still be uploaded: four seconds of the busiest policy.
_UPLOADS_AWAITED_MAX = 16


@dataclass(slots=True)
class Track:
    """One track's state."""

    key: TrackKey
    gate: Gate
    slot: int
    row: StatsRow
    frame_id: int = -1
    at_us: int = 0
    shift_us: int = 0
    used_at_s: float = 0.0
    awaited: deque[int] = field(default_factory=lambda: deque[int](maxlen=_UPLOADS_AWAITED_MAX))

    def require_order(self, frame_id: int) -> None:
        """Raise WrongOrder for an id that does not rise."""
        if frame_id <= self.frame_id:
            raise WrongOrder(f"frame_id {frame_id} does not rise: frame {self.frame_id} of this track came before")

    def advance(self, frame_id: int, captured_at_us: int) -> float:
        """Time of this frame on the track, in seconds, never falling. Raises WrongOrder for an id that does not rise.

        A clock that jumps back stands still for one frame and goes on from there: intervals after the jump are right.
        """
        self.require_order(frame_id)
        if self.frame_id < 0:
            self.shift_us = -captured_at_us
        at_us = captured_at_us + self.shift_us
        if at_us < self.at_us:
            self.shift_us += self.at_us - at_us
            at_us = self.at_us
        self.frame_id, self.at_us = frame_id, at_us
        return at_us / 1e6


@dataclass(frozen=True, slots=True)
class TrackLimits:
    """How many tracks a stream holds; one that was idle for `idle_s` seconds gives way to a new one."""

    tracks_max: int
    idle_s: float


class TrackTable:
    """The tracks of one stream by (room, track), the least recently used first."""

    def __init__(
        self,
        tenant_id: str,
        policy: Policy,
        rules: PolicyOptions,
        limits: TrackLimits,
        budget: TrackQuota,
        tally: StatsTable,
    ) -> None:
        """Hold no track yet."""
        self._tenant_id = tenant_id
        self._policy = policy
        self._rules = rules
        self._limits = limits
        self._budget = budget
        self._tally = tally
        self._tracks: OrderedDict[tuple[str, str], Track] = OrderedDict()
        self._free_slots: list[int] = []

    def find(self, room: str, track: str, now_s: float) -> Track:
        """The track, made when it is new. Raises TooManyTracks."""
        key = (room, track)
        found = self._tracks.get(key)
        if found is None:
            found = self._tracks[key] = self._make(room, track, now_s)
        else:
            self._tracks.move_to_end(key)
        found.used_at_s = now_s
        return found

    def peek(self, room: str, track: str) -> Track | None:
        """The track if there is one."""
        return self._tracks.get((room, track))

    def rows(self) -> list[StatsRow]:
        """The counts of each track on this server."""
        return [track.row for track in self._tracks.values()]

    def close(self, now_s: float) -> None:
        """The stream is over."""
        for track in self._tracks.values():
            self._tally.release(track.key, now_s)
        self._budget.give_back(self._tenant_id, len(self._tracks))
        self._tracks.clear()

    def drop_idle(self, now_s: float) -> None:
        """Let tracks go that were idle for so long that they may give way."""
        while self._tracks:
            oldest = next(iter(self._tracks.values()))
            if now_s - oldest.used_at_s < self._limits.idle_s:
                return
            self._tracks.popitem(last=False)
            self._free_slots.append(oldest.slot)
            self._tally.release(oldest.key, now_s)
            self._budget.give_back(self._tenant_id, 1)

    def _make(self, room: str, name: str, now_s: float) -> Track:
        if len(self._tracks) >= self._limits.tracks_max:
            self.drop_idle(now_s)
        if len(self._tracks) >= self._limits.tracks_max:
            limit, idle_s = self._limits.tracks_max, self._limits.idle_s
            raise TooManyTracks(
                f"this stream holds {limit} tracks, as many as it may; one that is idle for {idle_s:g} s gives way, or"
                " open another stream"
            )
        self._budget.take(self._tenant_id)
        # Without a free one all that there are, are in use: the next is behind them.
        slot = self._free_slots.pop() if self._free_slots else len(self._tracks)
        key = TrackKey(self._tenant_id, room, name)
        return Track(key, new_gate(self._policy, self._rules), slot, self._tally.hold(key))
