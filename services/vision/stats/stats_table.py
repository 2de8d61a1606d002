"""FrameCounts per track of what this server decided, kept so that sums stay exact while rows come and go.

A row lives from a track's first frame until it has been idle for a while; then its counts move into the tenant's rest.
Each row has an identity of its own (`uid`) and absolute numbers, so that publishing it twice changes nothing.
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
    """A video track of a tenant."""

    tenant_id: str
    room: str
    track: str


def _uid() -> str:
    return uuid.uuid4().hex[:16]


@dataclass(slots=True)
class StatsRow:
    """The counts of one track since `uid` was given; room and track are empty in a tenant's rest."""

    room: str
    track: str
    counts: FrameCounts = field(default_factory=FrameCounts)
    uid: str = field(default_factory=_uid)
    # Rises with each publishing, so that one that arrives late does not overwrite a later one.
    version: int = 0
    dirty: bool = False
    holders: int = 0
    released_at_s: float = 0.0
    published_at_s: float = 0.0


class StatsTable:
    """All rows of this server, bounded: those no stream holds any more give way, oldest first."""

    def __init__(
        self, *, rows_ended_max: int, ended_ttl_s: float, republish_s: float, rest_ttl_s: float = float("inf")
    ) -> None:
        """Keep at most `rows_ended_max` rows of ended tracks, each for `ended_ttl_s`.

        A row that is held is published again after `republish_s`, so that nobody takes it for a dead server's. A
        tenant's rest is held for `rest_ttl_s` after a row last went into it.
        """
        self._rows_ended_max = rows_ended_max
        self._ended_ttl_s = ended_ttl_s
        self._republish_s = republish_s
        self._rest_ttl_s = rest_ttl_s
        self._rows: dict[str, dict[TrackKey, StatsRow]] = {}
        self._ended: OrderedDict[TrackKey, StatsRow] = OrderedDict()
        self._rest: dict[str, StatsRow] = {}
        self._gone: dict[str, list[str]] = {}

    def hold(self, key: TrackKey) -> StatsRow:
        """The row of a track, for a stream that will count in it and mark it dirty."""
        row = self._rows.setdefault(key.tenant_id, {}).setdefault(key, StatsRow(key.room, key.track))
        row.holders += 1
        self._ended.pop(key, None)
        return row

    def release(self, key: TrackKey, now_s: float) -> None:
        """A stream counts no more in the row of a track."""
        row = self._rows[key.tenant_id][key]
        row.holders -= 1
        if row.holders == 0:
            row.released_at_s = now_s
            self._ended[key] = row
        while len(self._ended) > self._rows_ended_max:
            self._retire_oldest(now_s)

    def retire_idle(self, now_s: float) -> None:
        """Move rows that ended long ago into their tenants' rest."""
        while self._ended and now_s - next(iter(self._ended.values())).released_at_s > self._ended_ttl_s:
            self._retire_oldest(now_s)
        for tenant_id in [t for t, rest in self._rest.items() if now_s - rest.released_at_s > self._rest_ttl_s]:
            del self._rest[tenant_id]

    def rows(self, tenant_id: str) -> list[StatsRow]:
        """Rows of a tenant on this server, the rest included."""
        own = self._rows.get(tenant_id, {}).values()
        # The rest first: it is published in one step with the removal of what went into it.
        return [self._rest[tenant_id], *own] if tenant_id in self._rest else list(own)

    def tenants_to_publish(self, now_s: float) -> set[str]:
        """Tenants with something to publish."""
        tenants = self._rows.keys() | self._rest.keys()
        due = {t for t in tenants if any(self._is_due(row, now_s) for row in self.rows(t))}
        return due | self._gone.keys()

    def take_unpublished(self, tenant_id: str, now_s: float, rows_max: int) -> tuple[list[StatsRow], list[str]]:
        """Copies of rows of a tenant to publish, `rows_max` at most, and the uids of rows that went into its rest."""
        due = list(itertools.islice((row for row in self.rows(tenant_id) if self._is_due(row, now_s)), rows_max))
        for row in due:
            row.dirty, row.published_at_s, row.version = False, now_s, row.version + 1
        return [replace(row, counts=replace(row.counts)) for row in due], self._gone.pop(tenant_id, [])

    def put_back(self, tenant_id: str, uids: Iterable[str], gone: list[str]) -> None:
        """Publishing failed: these are unpublished again."""
        wanted = set(uids)
        for row in self.rows(tenant_id):
            if row.uid in wanted:
                row.dirty = True
        if gone:
            self._gone.setdefault(tenant_id, []).extend(gone)

    def _is_due(self, row: StatsRow, now_s: float) -> bool:
        return row.dirty or (row.holders > 0 and now_s - row.published_at_s > self._republish_s)

    def _retire_oldest(self, now_s: float) -> None:
        key, row = self._ended.popitem(last=False)
        own = self._rows[key.tenant_id]
        del own[key]
        if not own:
            del self._rows[key.tenant_id]
        rest = self._rest.setdefault(key.tenant_id, StatsRow("", "", holders=1))
        rest.counts.add(row.counts)
        rest.dirty, rest.released_at_s = True, now_s
        self._gone.setdefault(key.tenant_id, []).append(row.uid)


@dataclass(frozen=True, slots=True)
class StatsSummary:
    """FrameCounts of what was asked for: the sum, and one entry a track."""

    total: FrameCounts
    tracks: Mapping[tuple[str, str], FrameCounts]


def summarize(rows: Iterable[StatsRow], room: str, track: str) -> StatsSummary:
    """Sum rows of one tenant; `room` and `track` narrow, empty does not. A tenant's rest is in its whole sum only."""
    total, tracks = FrameCounts(), dict[tuple[str, str], FrameCounts]()
    for row in rows:
        if (room and row.room != room) or (track and row.track != track):
            continue
        total.add(row.counts)
        if row.track:
            tracks.setdefault((row.room, row.track), FrameCounts()).add(row.counts)
    return StatsSummary(total, tracks)
