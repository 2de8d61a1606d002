"""Table of this server's frame counts, one row per track, published to the store that all servers share.

A row exists from the first frame of its track until the track has been idle for some time; then its counts move into
the tenant's remainder row. Each row has a unique id and absolute counts, so publishing it twice changes nothing.
"""

from __future__ import annotations

import itertools
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from services.vision.stats.frame_counts import FrameCounts


@dataclass(frozen=True, slots=True)
class TrackKey:
    """Identity of a video track."""

    tenant_id: str
    room: str
    track: str


def _new_uid() -> str:
    return uuid.uuid4().hex[:16]


@dataclass(slots=True)
class StatsRow:
    """Counts of one track since the row was created.

    Attributes:
        room: Room name; empty in a remainder row.
        track: Track id; empty in a remainder row.
        counts: Absolute counts.
        uid: Unique id of the row, over all servers.
        version: Number of times the row was published; the store drops an older version that arrives late.
        dirty: Whether the counts changed since the last publication.
        holders: Streams that count in the row now.
        released_at_s: Monotonic time of the last release, in seconds.
        published_at_s: Monotonic time of the last publication, in seconds.
    """

    room: str
    track: str
    counts: FrameCounts = field(default_factory=FrameCounts)
    uid: str = field(default_factory=_new_uid)
    version: int = 0
    dirty: bool = False
    holders: int = 0
    released_at_s: float = 0.0
    published_at_s: float = 0.0


class StatsTable:
    """All rows of this server. All times are of one monotonic clock, in seconds."""

    def __init__(
        self, *, rows_ended_max: int, ended_ttl_s: float, republish_s: float, remainder_ttl_s: float = float("inf")
    ) -> None:
        """Start empty.

        Args:
            rows_ended_max: Most rows of ended tracks; the oldest moves into the remainder first.
            ended_ttl_s: Time after which the row of an ended track moves into the remainder.
            republish_s: Interval at which unchanged rows in use are published again, so that the store does not take
                them for rows of a dead server.
            remainder_ttl_s: Life of a tenant's remainder row after the last row moved into it.
        """
        self._rows_ended_max = rows_ended_max
        self._ended_ttl_s = ended_ttl_s
        self._republish_s = republish_s
        self._remainder_ttl_s = remainder_ttl_s
        self._rows: dict[str, dict[TrackKey, StatsRow]] = {}
        self._ended: OrderedDict[TrackKey, StatsRow] = OrderedDict()
        self._remainders: dict[str, StatsRow] = {}
        self._removed_uids: dict[str, list[str]] = {}

    def hold(self, key: TrackKey) -> StatsRow:
        """Return the row of a track for a stream that counts in it; the stream sets `dirty` and calls `release`."""
        row = self._rows.setdefault(key.tenant_id, {}).setdefault(key, StatsRow(key.room, key.track))
        row.holders += 1
        self._ended.pop(key, None)
        return row

    def release(self, key: TrackKey, now_s: float) -> None:
        """End one `hold` of a track's row."""
        row = self._rows[key.tenant_id][key]
        row.holders -= 1
        if row.holders == 0:
            row.released_at_s = now_s
            self._ended[key] = row
        while len(self._ended) > self._rows_ended_max:
            self._retire_oldest(now_s)

    def retire_idle(self, now_s: float) -> None:
        """Move rows of tracks that ended long ago into the remainder of their tenant, and drop old remainders."""
        while self._ended and now_s - next(iter(self._ended.values())).released_at_s > self._ended_ttl_s:
            self._retire_oldest(now_s)
        expired = [t for t, row in self._remainders.items() if now_s - row.released_at_s > self._remainder_ttl_s]
        for tenant_id in expired:
            del self._remainders[tenant_id]

    def rows(self, tenant_id: str) -> list[StatsRow]:
        """Return the rows of a tenant on this server, its remainder first."""
        rows = self._rows.get(tenant_id, {}).values()
        # First, because it must be published in one step with the removal of the rows that moved into it.
        return [self._remainders[tenant_id], *rows] if tenant_id in self._remainders else list(rows)

    def tenants_to_publish(self, now_s: float) -> set[str]:
        """Return the tenants with rows to publish or to remove."""
        tenants = self._rows.keys() | self._remainders.keys()
        due = {t for t in tenants if any(self._is_due(row, now_s) for row in self.rows(t))}
        return due | self._removed_uids.keys()

    def take_unpublished(self, tenant_id: str, now_s: float, rows_max: int) -> tuple[list[StatsRow], list[str]]:
        """Mark rows as published and return copies of them.

        Args:
            tenant_id: Tenant of the rows.
            now_s: Current time.
            rows_max: Most rows to return.

        Returns:
            The rows, and the uids of rows that moved into the remainder and must be removed in the same step.
        """
        due = list(itertools.islice((row for row in self.rows(tenant_id) if self._is_due(row, now_s)), rows_max))
        for row in due:
            row.dirty, row.published_at_s, row.version = False, now_s, row.version + 1
        return [replace(row, counts=replace(row.counts)) for row in due], self._removed_uids.pop(tenant_id, [])

    def put_back(self, tenant_id: str, uids: Iterable[str], removed_uids: list[str]) -> None:
        """Mark rows as unpublished again, after a failed publication."""
        wanted = set(uids)
        for row in self.rows(tenant_id):
            if row.uid in wanted:
                row.dirty = True
        if removed_uids:
            self._removed_uids.setdefault(tenant_id, []).extend(removed_uids)

    def _is_due(self, row: StatsRow, now_s: float) -> bool:
        return row.dirty or (row.holders > 0 and now_s - row.published_at_s > self._republish_s)

    def _retire_oldest(self, now_s: float) -> None:
        key, row = self._ended.popitem(last=False)
        rows = self._rows[key.tenant_id]
        del rows[key]
        if not rows:
            del self._rows[key.tenant_id]
        remainder = self._remainders.setdefault(key.tenant_id, StatsRow("", "", holders=1))
        remainder.counts.add(row.counts)
        remainder.dirty, remainder.released_at_s = True, now_s
        self._removed_uids.setdefault(key.tenant_id, []).append(row.uid)


@dataclass(frozen=True, slots=True)
class StatsSummary:
    """Sum of a selection of rows, and the counts of each track in it by (room, track)."""

    total: FrameCounts
    tracks: Mapping[tuple[str, str], FrameCounts]


def summarize(rows: Iterable[StatsRow], room: str, track: str) -> StatsSummary:
    """Return the sum over rows of one tenant.

    Args:
        rows: Rows of one tenant, of any number of servers.
        room: Only this room; empty for all. Remainder rows have no room and count only in the sum over all.
        track: Only this track; empty for all.
    """
    total, tracks = FrameCounts(), dict[tuple[str, str], FrameCounts]()
    for row in rows:
        if (room and row.room != room) or (track and row.track != track):
            continue
        total.add(row.counts)
        if row.track:
            tracks.setdefault((row.room, row.track), FrameCounts()).add(row.counts)
    return StatsSummary(total, tracks)
