"""Frame order, track time and the limit on tracks of a stream."""

from __future__ import annotations

import pytest

from services.vision.admission.track_quota import TrackQuota
from services.vision.errors import TooManyTracks, WrongOrder
from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.verdict import Policy
from services.vision.stats.stats_table import StatsTable
from services.vision.tracks.track_table import TrackLimits, TrackTable


def table(
    *, tracks_max: int = 3, server_max: int = 100, quota: TrackQuota | None = None, tenant: str = "acme"
) -> TrackTable:
    stats = StatsTable(rows_ended_max=10, ended_ttl_s=60, republish_s=60)
    limits = TrackLimits(tracks_max, idle_s=30)
    return TrackTable(tenant, Policy.CELLS, PolicyOptions(), limits, quota or TrackQuota(server_max), stats)


def test_frame_ids_must_rise_within_a_track():
    track = table().get_or_create("r", "t", 0)
    track.advance(5, 1_000_000)
    for repeated in (5, 4, 0):
        with pytest.raises(WrongOrder, match="does not rise"):
            track.advance(repeated, 2_000_000)
    assert track.advance(9, 1_500_000) == 0.5


def test_track_time_starts_at_zero_and_follows_the_client_clock():
    track = table().get_or_create("r", "t", 0)
    assert [track.advance(i, 7_000_000 + i * 40_000) for i in range(3)] == [0.0, 0.04, 0.08]


def test_track_time_stands_still_when_the_clock_jumps_back():
    track = table().get_or_create("r", "t", 0)
    times = [track.advance(i, us) for i, us in enumerate([5_000_000, 6_000_000, 1_000_000, 1_500_000])]
    assert times == [0.0, 1.0, 1.0, 1.5]


def test_track_time_never_decreases_for_extreme_clocks():
    track = table().get_or_create("r", "t", 0)
    low, high = -(2**63), 2**63 - 1
    times = [track.advance(i, us) for i, us in enumerate([low, high, low, high])]
    assert times == sorted(times)


def test_a_track_beyond_the_stream_limit_is_refused():
    tracks = table(tracks_max=2)
    tracks.get_or_create("r", "a", 0)
    tracks.get_or_create("r", "b", 1)
    with pytest.raises(TooManyTracks, match="holds 2 tracks"):
        tracks.get_or_create("r", "c", 5)
    assert tracks.get_or_create("r", "a", 6).key.track == "a"


def test_an_idle_track_is_evicted_for_a_new_one():
    tracks = table(tracks_max=2)
    idle = tracks.get_or_create("r", "a", 0)
    tracks.get_or_create("r", "b", 40)
    assert tracks.get_or_create("r", "c", 41).slot == idle.slot
    assert tracks.get("r", "a") is None


def test_evicted_tracks_are_released_to_other_streams():
    quota = TrackQuota(100, tenant_tracks_max=3)
    left, other = table(quota=quota), table(quota=quota)
    slots = {left.get_or_create("r", name, 0).slot for name in ("a", "b", "c")}
    with pytest.raises(TooManyTracks):
        other.get_or_create("r", "a", 29)
    left.get_or_create("r", "b", 29)
    left.evict_idle(31)
    assert left.get("r", "b") is not None
    assert quota.held == 1
    other.get_or_create("r", "a", 31)
    # Freed slots are reused, and each belongs to one track.
    other.close(31)
    assert {left.get_or_create("r", name, 31).slot for name in ("b", "d", "e")} == slots
