"""The tracks of one stream: which offers are in order, what time it is on each track, how many there may be."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

from services.vision.errors import TooManyTracks, WrongOrder
from services.vision.gate import Gate, gate_for
from services.vision.rules import Rules
from services.vision.tally import Row, Tally, TrackKey
from services.vision.verdict import Policy

# Kept frames of a track that may still be uploaded: four seconds of the busiest policy.
_UPLOADS_AWAITED_MAX = 16


@dataclass(slots=True)
class Track:
    """One track's state."""

    key: TrackKey
    gate: Gate
    slot: int
    row: Row
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


class TrackBudget:
    """How many tracks all streams of this server hold together, and how many of one tenant, so that none fills it."""

    def __init__(self, tracks_max: int, tenant_tracks_max: int | None = None) -> None:
        """Allow `tracks_max`, of them `tenant_tracks_max` to one tenant (None: all of them)."""
        self._tracks_max = tracks_max
        self._tenant_tracks_max = tracks_max if tenant_tracks_max is None else tenant_tracks_max
        self._by_tenant: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """Tracks held now."""
        return self._by_tenant.total()

    def take(self, tenant_id: str) -> None:
        """Hold one more. Raises TooManyTracks."""
        if self._by_tenant[tenant_id] >= self._tenant_tracks_max:
            raise TooManyTracks(
                f"this server holds {self._tenant_tracks_max} tracks of this tenant, as many as it may; idle ones give"
                " way after a while, or call another replica"
            )
        if self.held >= self._tracks_max:
            raise TooManyTracks("this server holds as many tracks as it may; call another replica", retry_after_s=1)
        self._by_tenant[tenant_id] += 1

    def give_back(self, tenant_id: str, count: int) -> None:
        """Hold `count` fewer."""
        self._by_tenant[tenant_id] -= count
        if not self._by_tenant[tenant_id]:
            del self._by_tenant[tenant_id]


@dataclass(frozen=True, slots=True)
class TrackLimits:
    """How many tracks a stream holds; one that was idle for `idle_s` seconds gives way to a new one."""

    tracks_max: int
    idle_s: float


class TrackTable:
    """The tracks of one stream by (room, track), the least recently used first."""

    def __init__(
        self, tenant_id: str, policy: Policy, rules: Rules, limits: TrackLimits, budget: TrackBudget, tally: Tally
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

    def rows(self) -> list[Row]:
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
        return Track(key, gate_for(self._policy, self._rules), slot, self._tally.hold(key))
