"""Counts of all servers in Redis: one hash per tenant, one field per row, absolute numbers.

Publishing a row twice changes nothing, so a lost answer may be repeated and sums stay exact. Rows of a server that died
are folded into the tenant's archive once nobody has published them for long.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import cast

from chassis.clock import Clock
from services.vision.adapters.redis_calls import RedisCalls
from services.vision.counts import Counts
from services.vision.tally import Row

_ARCHIVE = b"archive"
# Compare and fold: nothing happens unless every row and the archive are still what was read.
_FOLD = """
for i = 2, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if (held or '') ~= ARGV[i + 1] then return 0 end
end
for i = 2, #ARGV, 2 do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('HSET', KEYS[1], 'archive', ARGV[1])
return 1
"""
_FOLDED_AT_ONCE_MAX = 500


class RedisStats:
    """Implements ports.StatsStore."""

    def __init__(self, calls: RedisCalls, clock: Clock, *, ttl_s: float, fold_after_s: float) -> None:
        """Forget a tenant `ttl_s` after its last frame; fold rows not published for `fold_after_s`."""
        self._calls = calls
        self._clock = clock
        self._ttl_s = ttl_s
        self._fold_after_s = fold_after_s

    async def publish(self, tenant_id: str, rows: list[Row], gone: list[str]) -> None:
        """Set rows to their numbers, by uid, and remove the uids in `gone`, in one step. Raises Unavailable."""
        key = _key(tenant_id)
        pipe = self._calls.redis.pipeline(transaction=True)
        for row in rows:
            pipe.hset(key, row.uid, self._packed(row))  # pyright: ignore[reportUnusedCoroutine] - queued in the pipeline
        if gone:
            pipe.hdel(key, *gone)  # pyright: ignore[reportUnusedCoroutine] - queued in the pipeline
        pipe.pexpire(key, int(self._ttl_s * 1000))
        await self._calls.answer(pipe.execute())

    async def read(self, tenant_id: str) -> list[Row]:
        """Rows of all servers. Raises Unavailable."""
        call = cast("Awaitable[dict[bytes, bytes]]", self._calls.redis.hgetall(_key(tenant_id)))
        fields = await self._calls.answer(call)
        await self._fold(tenant_id, fields)
        return [_row(uid, value) for uid, value in fields.items()]

    async def _fold(self, tenant_id: str, fields: dict[bytes, bytes]) -> None:
        oldest_ms = (self._clock.time() - self._fold_after_s) * 1000
        stale = [uid for uid, value in fields.items() if uid != _ARCHIVE and json.loads(value)[2] < oldest_ms]
        if not stale:
            return
        stale = stale[:_FOLDED_AT_ONCE_MAX]
        archive = Row("", "", uid=_ARCHIVE.decode())
        for uid in (_ARCHIVE, *stale):
            if uid in fields:
                archive.counts.add(_row(uid, fields[uid]).counts)
        expected: list[bytes] = []
        for uid in (_ARCHIVE, *stale):
            expected += (uid, fields.get(uid, b""))
        await self._calls.run(_FOLD, [_key(tenant_id)], [self._packed(archive), *expected])

    def _packed(self, row: Row) -> str:
        return json.dumps([row.room, row.track, int(self._clock.time() * 1000), *row.counts.as_row()])


def _key(tenant_id: str) -> str:
    return f"hocket:vision:stats:{{{tenant_id}}}"


def _row(uid: bytes, value: bytes) -> Row:
    room, track, _, *counts = json.loads(value)
    return Row(room, track, Counts(*counts), uid.decode())
