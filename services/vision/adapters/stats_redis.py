"""Frame counts of all servers in Redis: one hash per tenant, one field per row, absolute counts.

Publishing a row twice changes nothing, and of two publications the later version wins whatever their order: a call
without an answer may be repeated, and sums stay exact. Rows of a dead server are added to the tenant's archive row once
they have not been published for long.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any, cast

from hocket.chassis.clock import Clock
from services.vision.adapters.redis_calls import RedisCalls
from services.vision.stats.frame_counts import FrameCounts
from services.vision.stats.stats_table import StatsRow

_ARCHIVE = b"archive"
# A value is "<version>|<JSON>". ARGV: life in ms, number of rows, (uid, version, JSON) of each row, uids to remove.
_PUBLISH = """
local rows = tonumber(ARGV[2])
for i = 3, 3 * rows, 3 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if not held or tonumber(string.match(held, '^%d+')) < tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. '|' .. ARGV[i + 2])
  end
end
for i = 3 + 3 * rows, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""
# Compare and set: changes nothing unless all rows and the archive still have the values that were read. ARGV: the new
# archive, then (uid, value read) of the archive and each row.
_FOLD = """
for i = 2, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if (held or '') ~= ARGV[i + 1] then return 0 end
end
for i = 2, #ARGV, 2 do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('HSET', KEYS[1], 'archive', ARGV[1])
return 1
"""
_FOLD_CHUNK = 500


class RedisStats:
    """Implements ports.StatsStore."""

    def __init__(self, calls: RedisCalls, clock: Clock, *, ttl_s: float, fold_after_s: float) -> None:
        """Prepare.

        Args:
            calls: Redis connection.
            clock: Time source.
            ttl_s: Life of a tenant's counts after its last frame, in seconds.
            fold_after_s: Time without a publication after which a row moves into the archive, in seconds; several
                times the interval at which live servers publish again.
        """
        self._calls = calls
        self._clock = clock
        self._ttl_s = ttl_s
        self._fold_after_s = fold_after_s

    async def publish(self, tenant_id: str, rows: list[StatsRow], removed_uids: list[str]) -> None:
        """Set rows to their absolute counts and remove the rows in `removed_uids`, in one step.

        Raises:
            Unavailable: Redis did not answer.
        """
        values: list[str | int] = [int(self._ttl_s * 1000), len(rows)]
        for row in rows:
            values += (row.uid, row.version, self._pack(row))
        await self._calls.run(_PUBLISH, [_key(tenant_id)], [*values, *removed_uids])

    async def read(self, tenant_id: str) -> list[StatsRow]:
        """Return the rows of all servers.

        Raises:
            Unavailable: Redis did not answer.
        """
        call = cast("Awaitable[dict[bytes, bytes]]", self._calls.redis.hgetall(_key(tenant_id)))
        fields = await self._calls.answer(call)
        await self._fold(tenant_id, fields)
        return [_row(uid, value) for uid, value in fields.items()]

    async def _fold(self, tenant_id: str, fields: dict[bytes, bytes]) -> None:
        oldest_ms = (self._clock.time() - self._fold_after_s) * 1000
        stale = [uid for uid, value in fields.items() if uid != _ARCHIVE and _unpack(value)[2] < oldest_ms]
        if not stale:
            return
        stale = stale[:_FOLD_CHUNK]
        archive = StatsRow("", "", uid=_ARCHIVE.decode())
        for uid in (_ARCHIVE, *stale):
            if uid in fields:
                archive.counts.add(_row(uid, fields[uid]).counts)
        expected: list[bytes] = []
        for uid in (_ARCHIVE, *stale):
            expected += (uid, fields.get(uid, b""))
        await self._calls.run(_FOLD, [_key(tenant_id)], ["0|" + self._pack(archive), *expected])

    def _pack(self, row: StatsRow) -> str:
        return json.dumps([row.room, row.track, int(self._clock.time() * 1000), *row.counts.as_row()])


def _key(tenant_id: str) -> str:
    return f"hocket:vision:stats:{{{tenant_id}}}"


def _unpack(value: bytes) -> list[Any]:
    content: list[Any] = json.loads(value.partition(b"|")[2])
    return content


def _row(uid: bytes, value: bytes) -> StatsRow:
    room, track, _, *counts = _unpack(value)
    return StatsRow(room, track, FrameCounts(*counts), uid.decode())
