"""Tracks are limited per server and per tenant."""

from __future__ import annotations

import pytest

from services.vision.admission.track_quota import TrackQuota
from services.vision.errors import TooManyTracks
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


def test_the_server_limit_counts_all_streams_and_released_tracks():
    quota = TrackQuota(3)
    first, second = table(quota=quota), table(quota=quota)
    for name in ("a", "b"):
        first.get_or_create("r", name, 0)
    second.get_or_create("r", "a", 0)
    with pytest.raises(TooManyTracks, match="another replica"):
        second.get_or_create("r", "b", 0)
    first.close(1)
    assert quota.held == 1
    second.get_or_create("r", "b", 2)


def test_a_tenant_at_its_limit_leaves_room_for_others():
    quota = TrackQuota(3, tenant_tracks_max=2)
    greedy, also_greedy = table(quota=quota), table(quota=quota)
    greedy.get_or_create("r", "a", 0)
    also_greedy.get_or_create("r", "b", 0)
    with pytest.raises(TooManyTracks, match="2 tracks of this tenant"):
        greedy.get_or_create("r", "c", 0)
    table(quota=quota, tenant="rival").get_or_create("r", "a", 0)
    assert quota.held == 3
    also_greedy.close(1)
    greedy.get_or_create("r", "c", 2)
    assert quota.held == 3
