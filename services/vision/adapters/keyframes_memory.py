"""Keyframes in this process: one server alone, and tests."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import replace

from chassis.clock import Clock
from services.vision.ports import StoredKeyframe
from services.vision.tally import TrackKey


class MemoryKeyframes:
    """The last `ring` frames of each of the last `tracks_max` tracks, each for `ttl_s` seconds."""

    def __init__(self, clock: Clock, *, ring: int, ttl_s: float, tracks_max: int = 256) -> None:
        """Begin empty."""
        self._clock = clock
        self._ring = ring
        self._ttl_s = ttl_s
        self._tracks_max = tracks_max
        self._tracks: OrderedDict[TrackKey, deque[StoredKeyframe]] = OrderedDict()

    async def add(self, key: TrackKey, keyframe: StoredKeyframe) -> None:
        """Remember a frame, in place of the oldest."""
        ring = self._tracks.setdefault(key, deque(maxlen=self._ring))
        ring.appendleft(keyframe)
        self._tracks.move_to_end(key)
        if len(self._tracks) > self._tracks_max:
            self._tracks.popitem(last=False)

    async def latest(self, key: TrackKey, limit: int, *, include_jpeg: bool) -> list[StoredKeyframe]:
        """The latest first; none for a track that is not known."""
        oldest_s = self._clock.time() - self._ttl_s
        fresh = [frame for frame in self._tracks.get(key, ()) if frame.kept_at_s >= oldest_s][:limit]
        return fresh if include_jpeg else [replace(frame, jpeg=b"") for frame in fresh]
