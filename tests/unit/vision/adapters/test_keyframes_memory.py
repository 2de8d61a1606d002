"""Keyframes in memory are limited by number, age and bytes, and separated by track."""

from __future__ import annotations

from services.vision.adapters.keyframes_memory import MemoryKeyframes
from services.vision.ports import StoredKeyframe
from services.vision.stats.stats_table import TrackKey


class Clock:
    now_s = 1000.0

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s


def key(track: str = "t", tenant: str = "acme") -> TrackKey:
    return TrackKey(tenant, "r", track)


def frame(frame_id: int, *, at_s: float = 1000.0, size: int = 10) -> StoredKeyframe:
    return StoredKeyframe(frame_id, at_s, 64, 48, bytes(size))


def store(**values) -> MemoryKeyframes:
    return MemoryKeyframes(Clock(), **{"ring": 3, "ttl_s": 60, **values})


async def ids(of: MemoryKeyframes, where: TrackKey, limit: int = 32) -> list[int]:
    return [f.frame_id for f in await of.latest(where, limit, include_jpeg=True)]


async def test_the_latest_keyframes_come_first():
    frames = store()
    for i in range(1, 6):
        await frames.add(key(), frame(i))
    assert (await ids(frames, key()), await ids(frames, key(), 1)) == ([5, 4, 3], [5])


async def test_keyframes_are_separated_by_track_and_tenant():
    frames = store()
    await frames.add(key(), frame(1))
    assert (await ids(frames, key("u")), await ids(frames, key(tenant="rival"))) == ([], [])


async def test_keyframes_expire():
    frames = store()
    await frames.add(key(), frame(1, at_s=939.0))
    await frames.add(key(), frame(2, at_s=941.0))
    assert await ids(frames, key()) == [2]


async def test_the_least_recently_used_track_is_evicted_beyond_the_byte_limit():
    frames = store(bytes_max=100)
    for track in ("a", "b", "a", "c"):
        await frames.add(key(track), frame(1, size=30))
    assert [await ids(frames, key(track)) for track in "abc"] == [[1, 1], [], [1]]


async def test_metadata_is_returned_without_the_jpeg():
    frames = store()
    await frames.add(key(), frame(1))
    (listed,) = await frames.latest(key(), 1, include_jpeg=False)
    assert (listed.jpeg, listed.width, listed.height) == (b"", 64, 48)
