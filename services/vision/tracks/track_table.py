"""Tracks of one stream: frame order, track time, and the limit on their number."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from services.vision.admission.track_quota import TrackQuota
from services.vision.errors import TooManyTracks, WrongOrder
from services.vision.gating.gate import Gate, new_gate
from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.verdict import Policy
from services.vision.stats.stats_table import StatsRow, StatsTable, TrackKey

# Keyframes of a track that may still be uploaded: four seconds of the busiest policy.
_PENDING_UPLOADS_MAX = 16


@dataclass(slots=True)
class Track:
    """State of one track.

    Attributes:
        key: Tenant, room and track.
        gate: Gate of the stream's policy.
        slot: Index in the stream's ThumbnailBuffer.
        row: Row in the server's StatsTable.
        frame_id: Id of the latest frame; -1 before the first.
        at_us: Track time of the latest frame, in microseconds from the first one.
        offset_us: Track time minus the client's capture clock, in microseconds.
        used_at_s: Server's monotonic time of the latest offer, in seconds.
        pending_uploads: Ids of the latest keyframes that were not uploaded yet.
    """

    key: TrackKey
    gate: Gate
    slot: int
    row: StatsRow
    frame_id: int = -1
    at_us: int = 0
    offset_us: int = 0
    used_at_s: float = 0.0
    pending_uploads: deque[int] = field(default_factory=lambda: deque[int](maxlen=_PENDING_UPLOADS_MAX))

    def require_rising_id(self, frame_id: int) -> None:
        """Check the order of a frame.

        Raises:
            WrongOrder: The id is not greater than that of the latest frame.
        """
        if frame_id <= self.frame_id:
            raise WrongOrder(
                f"frame_id {frame_id} does not rise: frame {self.frame_id} of this track came before; send rising ids"
            )

    def advance(self, frame_id: int, captured_at_us: int) -> float:
        """Register a frame and return its track time.

        Track time runs with the client's clock and never decreases. Where the clock jumps back, track time stands still
        for that frame and continues from there, so that later intervals are right.

        Args:
            frame_id: Id of the frame.
            captured_at_us: Capture time on any clock of the client, in microseconds.

        Returns:
            Seconds since the first frame of the track.

        Raises:
            WrongOrder: The id is not greater than that of the latest frame.
        """
        self.require_rising_id(frame_id)
        if self.frame_id < 0:
            self.offset_us = -captured_at_us
        at_us = captured_at_us + self.offset_us
        if at_us < self.at_us:
            self.offset_us += self.at_us - at_us
            at_us = self.at_us
        self.frame_id, self.at_us = frame_id, at_us
        return at_us / 1e6


@dataclass(frozen=True, slots=True)
class TrackLimits:
    """Most tracks of one stream, and the idle time in seconds after which a track is evicted."""

    tracks_max: int
    idle_s: float


class TrackTable:
    """Tracks of one stream by (room, track), in the order of their last use."""

    def __init__(
        self,
        tenant_id: str,
        policy: Policy,
        options: PolicyOptions,
        limits: TrackLimits,
        quota: TrackQuota,
        stats: StatsTable,
    ) -> None:
        """Start empty.

        Args:
            tenant_id: Tenant of the stream.
            policy: Policy of every track.
            options: Options of every track's gate.
            limits: Limits of this stream.
            quota: Limits of the server, shared by all streams.
            stats: Counts of the server, shared by all streams.
        """
        self._tenant_id = tenant_id
        self._policy = policy
        self._options = options
        self._limits = limits
        self._quota = quota
        self._stats = stats
        self._tracks: OrderedDict[tuple[str, str], Track] = OrderedDict()
        self._free_slots: list[int] = []

    def get_or_create(self, room: str, track: str, now_s: float) -> Track:
        """Return a track and mark it as used at `now_s` (monotonic seconds).

        Raises:
            TooManyTracks: The track is new and the stream, the tenant or the server is at its limit.
        """
        key = (room, track)
        found = self._tracks.get(key)
        if found is None:
            found = self._tracks[key] = self._create(room, track, now_s)
        else:
            self._tracks.move_to_end(key)
        found.used_at_s = now_s
        return found

    def get(self, room: str, track: str) -> Track | None:
        """Return a track without marking it as used; None if the stream holds none of this name."""
        return self._tracks.get((room, track))

    def rows(self) -> list[StatsRow]:
        """Return the counts of each track on this server."""
        return [track.row for track in self._tracks.values()]

    def close(self, now_s: float) -> None:
        """Release all tracks, at the end of the stream."""
        for track in self._tracks.values():
            self._stats.release(track.key, now_s)
        self._quota.release(self._tenant_id, len(self._tracks))
        self._tracks.clear()

    def evict_idle(self, now_s: float) -> None:
        """Release tracks that were idle for the limit's `idle_s` at `now_s`."""
        while self._tracks:
            oldest = next(iter(self._tracks.values()))
            if now_s - oldest.used_at_s < self._limits.idle_s:
                return
            self._tracks.popitem(last=False)
            self._free_slots.append(oldest.slot)
            self._stats.release(oldest.key, now_s)
            self._quota.release(self._tenant_id, 1)

    def _create(self, room: str, name: str, now_s: float) -> Track:
        if len(self._tracks) >= self._limits.tracks_max:
            self.evict_idle(now_s)
        if len(self._tracks) >= self._limits.tracks_max:
            raise TooManyTracks(
                f"this stream holds {self._limits.tracks_max} tracks, its limit; open another stream, or reuse this one"
                f" once a track is idle for {self._limits.idle_s:g} s"
            )
        self._quota.acquire(self._tenant_id)
        # Without a free slot all slots below len(self._tracks) are in use.
        slot = self._free_slots.pop() if self._free_slots else len(self._tracks)
        key = TrackKey(self._tenant_id, room, name)
        return Track(key, new_gate(self._policy, self._options), slot, self._stats.hold(key))
