"""Decisions of a stream are independent of batching, and each keyframe is accepted once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.vision.admission.track_quota import TrackQuota
from services.vision.errors import TrackNotFound, WrongOrder
from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.verdict import Cause, Decision, Policy, Verdict
from services.vision.stats.stats_table import StatsTable
from services.vision.tracks.offers import Offer, Refusal
from services.vision.tracks.stream_gate import StreamGate
from services.vision.tracks.track_table import TrackLimits, TrackTable


def stream_gate(policy: Policy = Policy.CELLS, *, tracks_max: int = 50) -> StreamGate:
    stats = StatsTable(rows_ended_max=10, ended_ttl_s=60, republish_s=60)
    table = TrackTable("acme", policy, PolicyOptions(), TrackLimits(tracks_max, idle_s=30), TrackQuota(1000), stats)
    return StreamGate(policy, table)


def offer(frame_id: int, *, track: str = "t", level: int = 100, at_s: float | None = None, **values) -> Offer:
    at_us = int((frame_id / 30 if at_s is None else at_s) * 1e6)
    return Offer(
        **{
            "room": "r",
            "track": track,
            "frame_id": frame_id,
            "captured_at_us": at_us,
            "luma": bytes([level]) * 4096,
            "chroma": b"",
            "width": 1280,
            "height": 720,
            **values,
        }
    )


@settings(max_examples=60, deadline=None)
@given(
    policy=st.sampled_from(list(Policy)),
    levels=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 255)), min_size=1, max_size=40),
    cuts=st.lists(st.integers(1, 8), min_size=1, max_size=6),
)
def test_batching_does_not_change_decisions(policy, levels, cuts):
    offers = [offer(i + 1, track=track, level=level) for i, (track, level) in enumerate(levels)]
    one_by_one = stream_gate(policy)
    expected = [one_by_one.decide([o], 0.0)[0] for o in offers]
    batched, found, start = stream_gate(policy), [], 0
    for i in range(len(offers)):
        size = cuts[i % len(cuts)]
        found += batched.decide(offers[start : start + size], 0.0) if start < len(offers) else []
        start += size
    assert found == expected


def test_a_refused_offer_does_not_affect_its_batch():
    results = stream_gate().decide([offer(1), offer(2, luma=b"x"), offer(2)], 0.0)
    assert [type(r) for r in results] == [Decision, Refusal, Decision]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"luma": bytes(4095)}, "offers[0].luma"),
        ({"chroma": bytes(511)}, "offers[0].chroma"),
        ({"width": 0}, "offers[0].width"),
        ({"height": 8193}, "offers[0].width"),
        ({"suppressed": -1}, "offers[0].suppressed"),
        ({"room": ""}, "offers[0].track.room"),
        ({"room": "é" * 129}, "offers[0].track.room"),
        ({"track": "x" * 129}, "offers[0].track.track"),
    ],
)
def test_invalid_fields_of_an_offer_are_refused_by_name(values, field):
    (result,) = stream_gate().decide([offer(1, **values)], 0.0)
    assert isinstance(result, Refusal)
    assert list(result.error.fields) == [field]  # type: ignore[attr-defined]


def test_a_keyframe_may_be_uploaded_once():
    stream = stream_gate()
    stream.decide([offer(1), offer(2)], 0.0)
    row = stream.accept_upload("r", "t", 1, 5000)
    assert (row.counts.uploads, row.counts.bytes_uploaded) == (1, 5000)
    for frame_id in (1, 2, 99):
        with pytest.raises(WrongOrder, match="is no pending keyframe"):
            stream.accept_upload("r", "t", frame_id, 5000)
    with pytest.raises(TrackNotFound, match="track 'another' of room 'r' is unknown"):
        stream.accept_upload("r", "another", 1, 5000)


def test_uploads_stretch_the_busy_interval_of_their_track_only():
    stream, kept = stream_gate(), {"large": 0, "small": 0}
    for i in range(1, 300):
        for track, size_bytes in (("large", 180_000), ("small", 10_000)):
            (decision,) = stream.decide([offer(i, track=track, level=i * 40 % 200)], 0.0)
            if decision.ruling.cause is Cause.BUSY:
                kept[track] += 1
            if decision.ruling.verdict is not Verdict.SKIP:
                stream.accept_upload("r", track, i, size_bytes)
    assert kept["large"] < 0.75 * kept["small"]


def test_pending_uploads_are_limited():
    stream = stream_gate(Policy.TIMER)
    for i in range(1, 101):
        stream.decide([offer(i, at_s=float(i))], 0.0)
    with pytest.raises(WrongOrder):
        stream.accept_upload("r", "t", 84, 10)
    assert stream.accept_upload("r", "t", 85, 10).counts.uploads == 1


def test_a_reused_slot_starts_without_a_keyframe():
    stream = stream_gate(tracks_max=1)
    stream.decide([offer(1, level=100)], 0.0)
    (decision,) = stream.decide([offer(1, track="u", level=100)], 31.0)
    assert decision.ruling.cause is Cause.FIRST
    (decision,) = stream.decide([offer(2, track="u", level=100, at_s=0.1)], 31.1)
    assert decision.ruling.verdict is Verdict.SKIP


def test_a_resolution_switch_is_no_change():
    """As after a simulcast switch: the same thumbnail of a smaller frame."""
    stream = stream_gate()
    stream.decide([offer(1)], 0.0)
    (decision,) = stream.decide([offer(2, width=320, height=180, at_s=0.5)], 0.0)
    assert decision.ruling.cause is Cause.UNCHANGED


def test_noise_of_a_covered_lens_keeps_only_refreshes():
    rng = np.random.default_rng(2)
    stream, kept = stream_gate(), []
    for i in range(900):
        luma = np.clip(rng.normal(14, 1.6, 4096), 0, 255).astype(np.uint8).tobytes()
        (decision,) = stream.decide([offer(i + 1, luma=luma)], 0.0)
        if decision.ruling.verdict is not Verdict.SKIP:
            kept.append(decision.ruling.cause)
    assert kept == [Cause.FIRST, Cause.STALE, Cause.STALE]
