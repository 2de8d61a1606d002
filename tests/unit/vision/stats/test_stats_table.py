"""Sums stay exact while rows are held, released, retired and published."""

from __future__ import annotations

from services.vision.stats.stats_table import StatsTable, TrackKey, summarize


def table(**values) -> StatsTable:
    return StatsTable(**{"rows_ended_max": 2, "ended_ttl_s": 60, "republish_s": 600, **values})


def count(row, offered: int) -> None:
    row.counts.offered += offered
    row.dirty = True


def total(of: StatsTable, tenant: str = "acme") -> int:
    return summarize(of.rows(tenant), "", "").total.offered


def test_two_streams_of_one_track_share_a_row():
    stats = table()
    key = TrackKey("acme", "r", "t")
    count(stats.hold(key), 3)
    count(stats.hold(key), 4)
    assert {k: c.offered for k, c in summarize(stats.rows("acme"), "", "").tracks.items()} == {("r", "t"): 7}


def test_ended_rows_beyond_the_limit_move_into_the_remainder():
    stats = table()
    for i in range(5):
        key = TrackKey("acme", "r", f"t{i}")
        count(stats.hold(key), 1)
        stats.release(key, float(i))
    assert total(stats) == 5
    assert len(summarize(stats.rows("acme"), "", "").tracks) == 2
    assert total(stats, "rival") == 0


def test_held_rows_are_never_retired():
    stats = table()
    for i in range(5):
        count(stats.hold(TrackKey("acme", "r", f"t{i}")), 1)
    stats.retire_idle(1e9)
    assert len(summarize(stats.rows("acme"), "", "").tracks) == 5


def test_rows_are_published_again_when_they_change_or_age():
    stats = table()
    row = stats.hold(TrackKey("acme", "r", "t"))
    count(row, 1)
    assert stats.tenants_to_publish(0.0) == {"acme"}
    assert [r.counts.offered for r in stats.take_unpublished("acme", 0.0, 100)[0]] == [1]
    assert stats.tenants_to_publish(1.0) == set()
    assert stats.tenants_to_publish(601.0) == {"acme"}


def test_a_failed_publication_is_put_back():
    stats = table(rows_ended_max=1)
    for name in ("a", "b"):
        count(stats.hold(TrackKey("acme", "r", name)), 1)
        stats.release(TrackKey("acme", "r", name), 0.0)
    rows, removed = stats.take_unpublished("acme", 0.0, 100)
    assert len(removed) == 1
    stats.put_back("acme", [r.uid for r in rows], removed)
    again, removed_again = stats.take_unpublished("acme", 0.0, 100)
    assert ({r.uid for r in again}, removed_again) == ({r.uid for r in rows}, removed)


def test_rows_to_publish_are_copies():
    stats = table()
    row = stats.hold(TrackKey("acme", "r", "t"))
    count(row, 1)
    (copy,), _ = stats.take_unpublished("acme", 0.0, 100)
    count(row, 10)
    assert copy.counts.offered == 1


def test_a_summary_filters_by_room_and_track():
    stats = table(rows_ended_max=10)
    for room, track, offered in (("a", "t", 1), ("a", "u", 2), ("b", "t", 4)):
        count(stats.hold(TrackKey("acme", room, track)), offered)
    sums = [summarize(stats.rows("acme"), *where).total.offered for where in (("", ""), ("a", ""), ("a", "u"))]
    assert sums == [7, 3, 2]


def test_the_remainder_is_published_first():
    stats = table()
    for i in range(7):
        key = TrackKey("acme", "r", f"t{i}")
        count(stats.hold(key), 1)
        if i < 5:
            stats.release(key, float(i))
    first, removed = stats.take_unpublished("acme", 0.0, 3)
    assert (first[0].track, len(removed)) == ("", 3)
    rest: list[int] = []
    while part := stats.take_unpublished("acme", 0.0, 3)[0]:
        rest.append(len(part))
    assert sum(rest) + len(first) == 5


def test_a_remainder_expires():
    stats = table(remainder_ttl_s=100)
    for i in range(3):
        key = TrackKey("acme", "r", f"t{i}")
        count(stats.hold(key), 1)
        stats.release(key, 0.0)
    stats.retire_idle(61.0)
    assert total(stats) == 3
    stats.retire_idle(160.0)
    assert total(stats) == 3
    stats.retire_idle(162.0)
    assert total(stats) == 0
