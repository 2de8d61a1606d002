"""Keyframes in this process: one server alone, and tests."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import replace

from hocket.chassis.clock import Clock
from services.vision.ports import StoredKeyframe
from services.vision.stats.stats_table import TrackKey


class MemoryKeyframes:
    """The last `ring` frames of each track, each for `ttl_s` seconds; the track idle longest gives way to new ones."""

    def __init__(self, clock: Clock, *, ring: int, ttl_s: float, bytes_max: int = 256 * 1024 * 1024) -> None:
        """Hold at most `bytes_max` bytes of JPEG in all."""
        self._clock = clock
        self._ring = ring
        self._ttl_s = ttl_s
        self._bytes_left = bytes_max
        self._tracks: OrderedDict[TrackKey, deque[StoredKeyframe]] = OrderedDict()

    async def add(self, key: TrackKey, keyframe: StoredKeyframe) -> None:
        """Remember a frame, in place of the oldest."""
        ring = self._tracks.setdefault(key, deque())
        self._tracks.move_to_end(key)
        ring.appendleft(keyframe)
        self._bytes_left -= len(keyframe.jpeg)
        while len(ring) > self._ring:
            self._bytes_left += len(ring.pop().jpeg)
        while self._bytes_left < 0 and len(self._tracks) > 1:
            _, dropped = self._tracks.popitem(last=False)
            self._bytes_left += sum(len(frame.jpeg) for frame in dropped)

    async def latest(self, key: TrackKey, limit: int, *, include_jpeg: bool) -> list[StoredKeyframe]:
        """The latest first; none for a track that is not known."""
        oldest_s = self._clock.time() - self._ttl_s
        fresh = [frame for frame in self._tracks.get(key, ()) if frame.kept_at_s >= oldest_s][:limit]
        return fresh if include_jpeg else [replace(frame, jpeg=b"") for frame in fresh]
