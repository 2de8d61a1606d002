"""Keyframes in memory, for a single server and for tests."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import replace

from hocket.chassis.clock import Clock
from services.vision.ports import StoredKeyframe
from services.vision.stats.stats_table import TrackKey


class MemoryKeyframes:
    """Implements ports.KeyframeStore."""

    def __init__(self, clock: Clock, *, ring: int, ttl_s: float, bytes_max: int = 256 * 1024 * 1024) -> None:
        """Start empty.

        Args:
            clock: Time source.
            ring: Most keyframes per track.
            ttl_s: Life of a keyframe, in seconds.
            bytes_max: Most JPEG bytes in total; beyond it the least recently used tracks are evicted.
        """
        self._clock = clock
        self._ring = ring
        self._ttl_s = ttl_s
        self._bytes_left = bytes_max
        self._tracks: OrderedDict[TrackKey, deque[StoredKeyframe]] = OrderedDict()

    async def add(self, key: TrackKey, keyframe: StoredKeyframe) -> None:
        """Store a keyframe and drop the oldest of its track beyond the limit."""
        ring = self._tracks.setdefault(key, deque())
        self._tracks.move_to_end(key)
        ring.appendleft(keyframe)
        self._bytes_left -= len(keyframe.jpeg)
        while len(ring) > self._ring:
            self._bytes_left += len(ring.pop().jpeg)
        while self._bytes_left < 0 and len(self._tracks) > 1:
            _, evicted = self._tracks.popitem(last=False)
            self._bytes_left += sum(len(frame.jpeg) for frame in evicted)

    async def latest(self, key: TrackKey, limit: int, *, include_jpeg: bool) -> list[StoredKeyframe]:
        """Return up to `limit` keyframes of a track, latest first; none for an unknown track."""
        oldest_s = self._clock.time() - self._ttl_s
        fresh = [frame for frame in self._tracks.get(key, ()) if frame.kept_at_s >= oldest_s][:limit]
        return fresh if include_jpeg else [replace(frame, jpeg=b"") for frame in fresh]
