"""Keyframes and counts in a real Redis are bounded, separated by tenant and exact for shared tracks."""

from __future__ import annotations

import pytest

from services.vision.adapters.keyframes_redis import RedisKeyframes
from services.vision.adapters.redis_calls import RedisCalls
from services.vision.adapters.stats_redis import RedisStats
from services.vision.ports import StoredKeyframe
from services.vision.stats.frame_counts import FrameCounts
from services.vision.stats.stats_table import StatsRow, TrackKey, summarize

TRACK = TrackKey("acme", "room {1}", "t:1")


class Clock:
    now_s = 1_000_000.0

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
async def calls(redis_url):
    calls = RedisCalls(redis_url, timeout_s=5)
    yield calls
    await calls.close()


def keyframe(frame_id: int, kept_at_s: float) -> StoredKeyframe:
    return StoredKeyframe(frame_id, kept_at_s, 1280, 720, f"jpeg {frame_id}".encode())


async def test_a_ring_holds_the_latest_keyframes(calls):
    clock = Clock()
    store = RedisKeyframes(calls, clock, ring=3, ttl_s=60)
    for frame_id in range(1, 6):
        await store.add(TRACK, keyframe(frame_id, clock.now_s + frame_id))
    assert [f.frame_id for f in await store.latest(TRACK, 32, include_jpeg=True)] == [5, 4, 3]
    assert [f.jpeg for f in await store.latest(TRACK, 2, include_jpeg=True)] == [b"jpeg 5", b"jpeg 4"]
    assert [f.jpeg for f in await store.latest(TRACK, 1, include_jpeg=False)] == [b""]
    jpegs = [key async for key in calls.redis.scan_iter("hocket:vision:jpegs:*")]
    assert await calls.redis.hlen(jpegs[0]) == 3
    assert 0 < await calls.redis.pttl(jpegs[0]) <= 60_000


async def test_keyframes_are_separated_by_tenant_room_and_track(calls):
    store = RedisKeyframes(calls, Clock(), ring=3, ttl_s=60)
    await store.add(TRACK, keyframe(1, Clock.now_s))
    for other in (TrackKey("rival", TRACK.room, TRACK.track), TrackKey("acme", "room {1}:t", "1")):
        assert await store.latest(other, 5, include_jpeg=True) == []


async def test_keyframes_expire_while_their_track_lives(calls):
    clock = Clock()
    store = RedisKeyframes(calls, clock, ring=3, ttl_s=60)
    await store.add(TRACK, keyframe(1, clock.now_s - 61))
    await store.add(TRACK, keyframe(2, clock.now_s))
    assert [f.frame_id for f in await store.latest(TRACK, 5, include_jpeg=True)] == [2]


async def test_rows_of_servers_add_up_and_repeats_change_nothing(calls):
    store = RedisStats(calls, Clock(), ttl_s=600, fold_after_s=3600)
    here, there = StatsRow("r", "t", FrameCounts(offered=5, kept=2)), StatsRow("r", "t", FrameCounts(offered=7, kept=1))
    for rows in ([here], [there], [here]):
        await store.publish("acme", rows, [])
    summary = summarize(await store.read("acme"), "", "")
    assert (summary.total.offered, summary.total.kept) == (12, 3)
    assert await store.read("rival") == []


async def test_a_late_publication_does_not_overwrite_a_newer_one(calls):
    store = RedisStats(calls, Clock(), ttl_s=600, fold_after_s=3600)
    early = StatsRow("r", "t", FrameCounts(offered=5), version=1)
    await store.publish("acme", [StatsRow("r", "t", FrameCounts(offered=9), uid=early.uid, version=2)], [])
    await store.publish("acme", [early], [])
    assert summarize(await store.read("acme"), "", "").total.offered == 9


async def test_a_row_moved_into_the_remainder_counts_once(calls):
    store = RedisStats(calls, Clock(), ttl_s=600, fold_after_s=3600)
    row = StatsRow("r", "t", FrameCounts(offered=5))
    await store.publish("acme", [row], [])
    await store.publish("acme", [StatsRow("", "", FrameCounts(offered=5))], [row.uid])
    summary = summarize(await store.read("acme"), "", "")
    assert (summary.total.offered, dict(summary.tracks)) == (5, {})


async def test_rows_of_a_dead_server_move_into_the_archive_once(calls):
    clock = Clock()
    store = RedisStats(calls, clock, ttl_s=600, fold_after_s=3600)
    await store.publish(
        "acme", [StatsRow("r", "old", FrameCounts(offered=5)), StatsRow("r", "older", FrameCounts(offered=6))], []
    )
    clock.now_s += 3601
    await store.publish("acme", [StatsRow("r", "live", FrameCounts(offered=10))], [])
    for _ in range(3):
        total = summarize(await store.read("acme"), "", "").total
        assert total.offered == 21
    assert await calls.redis.hlen("hocket:vision:stats:{acme}") == 2
