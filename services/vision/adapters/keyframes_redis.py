"""Keyframes in Redis: a bounded ring per track, shared by all servers; expires after the last keyframe of the track."""

from __future__ import annotations

from hocket.chassis.clock import Clock
from hocket.chassis.errors import Unavailable
from services.vision.adapters.redis_calls import RedisCalls, key_part
from services.vision.errors import KeyframesUnavailable
from services.vision.ports import StoredKeyframe
from services.vision.stats.stats_table import TrackKey

# KEYS: a list of metadata rows, latest first, and a hash from row to JPEG. One script changes both atomically; one hash
# tag keeps both on one node of a cluster. ARGV: ring, life in ms, row, JPEG.
_ADD = """
redis.call('LPUSH', KEYS[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
for _, old in ipairs(redis.call('LRANGE', KEYS[1], ARGV[1], -1)) do redis.call('HDEL', KEYS[2], old) end
redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
"""
# ARGV: limit, 1 to return JPEGs as well.
_LATEST = """
local rows = redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1)
if #rows == 0 or ARGV[2] == '0' then return {rows, {}} end
return {rows, redis.call('HMGET', KEYS[2], unpack(rows))}
"""


class RedisKeyframes:
    """Implements ports.KeyframeStore."""

    def __init__(self, calls: RedisCalls, clock: Clock, *, ring: int, ttl_s: float) -> None:
        """Store `ring` keyframes per track, each for `ttl_s` seconds."""
        self._calls = calls
        self._clock = clock
        self._ring = ring
        self._ttl_s = ttl_s

    async def add(self, key: TrackKey, keyframe: StoredKeyframe) -> None:
        """Store a keyframe and drop the oldest of its track beyond the limit.

        Raises:
            KeyframesUnavailable: Redis did not answer.
        """
        kept_at_us = int(keyframe.kept_at_s * 1e6)
        row = f"{keyframe.frame_id}:{kept_at_us}:{keyframe.width}:{keyframe.height}"
        try:
            await self._calls.run(_ADD, _keys(key), [self._ring, int(self._ttl_s * 1000), row, keyframe.jpeg])
        except Unavailable as error:
            raise _unavailable() from error

    async def latest(self, key: TrackKey, limit: int, *, include_jpeg: bool) -> list[StoredKeyframe]:
        """Return up to `limit` keyframes of a track, latest first; none for an unknown track.

        Raises:
            KeyframesUnavailable: Redis did not answer.
        """
        try:
            rows, jpegs = await self._calls.run(_LATEST, _keys(key), [min(limit, self._ring), int(include_jpeg)])
        except Unavailable as error:
            raise _unavailable() from error
        oldest_s = self._clock.time() - self._ttl_s
        frames = [_frame(row, jpeg or b"") for row, jpeg in zip(rows, jpegs or [b""] * len(rows), strict=True)]
        return [frame for frame in frames if frame.kept_at_s >= oldest_s]


def _keys(key: TrackKey) -> list[str]:
    tag = f"{{{key.tenant_id}:{key_part(key.room)}:{key_part(key.track)}}}"
    return [f"hocket:vision:keyframes:{tag}", f"hocket:vision:jpegs:{tag}"]


def _frame(row: bytes, jpeg: bytes) -> StoredKeyframe:
    frame_id, kept_at_us, width, height = (int(part) for part in row.split(b":"))
    return StoredKeyframe(frame_id, kept_at_us / 1e6, width, height, jpeg)


def _unavailable() -> KeyframesUnavailable:
    return KeyframesUnavailable("keyframe store is unavailable: Redis did not answer; retry", retry_after_s=1)
