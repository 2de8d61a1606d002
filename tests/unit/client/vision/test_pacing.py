"""Frames that a client examines, offers, suppresses and keeps by its timer."""

from __future__ import annotations

import itertools

import pytest

from hocket.client.vision.pacing import PacingRules, TrackPacer, largest_difference_levels
from hocket.client.vision.thumbnail import Thumbnail

CHROMA = bytes([128]) * 512


def picture(level: int = 100, *, width: int = 1280, chroma: bytes = CHROMA) -> Thumbnail:
    return Thumbnail(bytes([level]) * 4096, chroma, width, 720)


def settled(next_frame_in_s: float = 0.2, **rules) -> TrackPacer:
    """Return a pacer that offered a picture at 0 s and got a settled verdict."""
    pacer = TrackPacer(PacingRules(**rules))
    assert pacer.should_examine(0.0)
    assert pacer.should_offer(picture(), 0.0)
    pacer.record_verdict(next_frame_in_s=next_frame_in_s, settling=False)
    return pacer


def test_every_frame_of_a_jittering_camera_is_wanted():
    pacer = settled(1 / 30)
    at_s = 0.0
    for gap_s in (0.030, 0.036, 0.025, 0.041, 0.033):
        at_s += gap_s
        assert pacer.should_examine(at_s)
        pacer.should_offer(picture(), at_s)


def test_a_60_fps_camera_is_examined_30_times_a_second():
    pacer = settled(1 / 30)
    looks = 0
    for i in range(1, 61):
        if pacer.should_examine(i / 60):
            looks += 1
            pacer.should_offer(picture(), i / 60)
    assert looks == 30


def test_an_idle_track_is_examined_often_enough_for_a_cut_within_200_ms():
    pacer = settled(0.2)
    looks = []
    for i in range(1, 61):
        if pacer.should_examine(i / 30):
            looks.append(i / 30)
            pacer.should_offer(picture(), i / 30)
    gaps = [b - a for a, b in itertools.pairwise(looks)]
    assert max(gaps) <= 0.2
    assert len(looks) <= 21


def test_still_frames_are_suppressed_and_reported_with_the_next_offer():
    pacer = settled()
    assert not any(pacer.should_offer(picture(100 + noise), 0.1 * i) for i, noise in ((1, 0), (2, 3), (3, -3)))
    assert pacer.should_offer(picture(104), 0.4)
    assert (pacer.take_suppressed(), pacer.take_suppressed()) == (3, 0)


def test_a_slow_fade_accumulates_until_it_is_offered():
    pacer = settled()
    offered = [level for level in range(101, 121) if pacer.should_offer(picture(level), (level - 100) / 30)]
    assert offered == [104, 108, 112, 116, 120]


def test_a_change_of_colour_is_offered():
    assert settled().should_offer(picture(chroma=bytes([140]) * 512), 0.1)


def test_every_examined_frame_is_offered_while_a_change_settles():
    pacer = settled()
    pacer.record_verdict(next_frame_in_s=1 / 30, settling=True)
    assert all(pacer.should_offer(picture(), i / 30) for i in range(1, 5))


def test_a_still_picture_is_offered_at_the_heartbeat_interval():
    pacer = settled()
    offered = [i / 10 for i in range(1, 31) if pacer.should_offer(picture(), i / 10)]
    assert offered == pytest.approx([1.0, 2.0, 3.0])


def test_a_change_of_speech_is_offered_at_once():
    pacer = settled()
    assert pacer.should_examine(0.01, speaking=True)
    assert pacer.should_offer(picture(), 0.01, speaking=True)
    assert pacer.should_examine(0.02, speaking=False)
    assert pacer.should_offer(picture(), 0.02, speaking=False)


def test_a_track_continues_after_its_clock_jumps_back():
    pacer = settled()
    pacer.should_offer(picture(), 500.0)
    assert pacer.should_examine(1.0)
    assert pacer.should_offer(picture(), 1.0)


def test_verdicts_and_timer_continue_after_a_clock_jump():
    pacer = TrackPacer(PacingRules())
    pacer.record_keyframe(500.0)
    assert pacer.should_examine(2.0)
    pacer.record_keyframe(2.0)
    assert [pacer.should_keep_by_timer(at_s) for at_s in (2.1, 2.25, 2.3)] == [False, True, True]


def test_the_fallback_timer_keeps_four_frames_a_second():
    pacer = TrackPacer(PacingRules())
    kept = 0
    for i in range(30):
        if pacer.should_keep_by_timer(i / 30):
            kept += 1
            pacer.record_keyframe(i / 30)
    assert kept == 4


def test_the_next_frame_is_offered_after_a_reset():
    pacer = settled()
    pacer.reset()
    assert pacer.should_offer(picture(), 0.1)


def test_a_change_of_size_counts_as_motion():
    assert largest_difference_levels(picture(), picture(width=640)) == 255
    assert largest_difference_levels(picture(), picture()) == 0


def test_drift_within_the_noise_floor_is_offered_at_the_drift_interval():
    """Drift may pass the server's threshold; an equal picture waits for the heartbeat."""
    drifting, still = (settled(drift_interval_s=0.4, heartbeat_interval_s=1.0) for _ in range(2))
    looks_s = [i / 10 for i in range(1, 12)]
    assert next(at_s for at_s in looks_s if drifting.should_offer(picture(102), at_s)) == 0.4
    assert next(at_s for at_s in looks_s if still.should_offer(picture(101), at_s)) == 1.0
