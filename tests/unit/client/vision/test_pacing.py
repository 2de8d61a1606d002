"""What a client looks at, offers, suppresses and keeps by itself."""

from __future__ import annotations

import itertools

import pytest

from hocket.client.vision.pacing import PacingRules, TrackPacer, moved_levels
from hocket.client.vision.thumbnail import Thumbnail

CHROMA = bytes([128]) * 512


def picture(level: int = 100, *, width: int = 1280, chroma: bytes = CHROMA) -> Thumbnail:
    return Thumbnail(bytes([level]) * 4096, chroma, width, 720)


def settled(next_frame_in_s: float = 0.2, **rules) -> TrackPacer:
    """A pacer that has offered a picture at 0 s and was told that nothing is pending."""
    pacer = TrackPacer(PacingRules(**rules))
    assert pacer.wants(0.0)
    assert pacer.offers(picture(), 0.0)
    pacer.answered(next_frame_in_s=next_frame_in_s, settled=True)
    return pacer


def test_every_frame_of_a_jittering_camera_is_wanted_at_the_active_pace():
    pacer = settled(1 / 30)
    at_s = 0.0
    for gap_s in (0.030, 0.036, 0.025, 0.041, 0.033):
        at_s += gap_s
        assert pacer.wants(at_s)
        pacer.offers(picture(), at_s)


def test_a_60_fps_camera_is_looked_at_30_times_a_second():
    pacer = settled(1 / 30)
    looks = 0
    for i in range(1, 61):
        if pacer.wants(i / 60):
            looks += 1
            pacer.offers(picture(), i / 60)
    assert looks == 30


def test_an_idle_track_is_looked_at_often_enough_to_see_a_cut_within_200_ms():
    pacer = settled(0.2)
    looks = []
    for i in range(1, 61):
        if pacer.wants(i / 30):
            looks.append(i / 30)
            pacer.offers(picture(), i / 30)
    gaps = [b - a for a, b in itertools.pairwise(looks)]
    assert max(gaps) <= 0.2
    assert len(looks) <= 21


def test_what_did_not_move_is_suppressed_and_reported_with_the_next_offer():
    pacer = settled()
    assert not any(pacer.offers(picture(100 + noise), 0.1 * i) for i, noise in ((1, 0), (2, 3), (3, -3)))
    assert pacer.offers(picture(104), 0.4)
    assert (pacer.take_suppressed(), pacer.take_suppressed()) == (3, 0)


def test_a_slow_fade_adds_up():
    pacer = settled()
    offered = [level for level in range(101, 121) if pacer.offers(picture(level), (level - 100) / 30)]
    assert offered == [104, 108, 112, 116, 120]


def test_a_change_of_colour_alone_is_offered():
    assert settled().offers(picture(chroma=bytes([140]) * 512), 0.1)


def test_while_a_change_settles_every_look_is_offered():
    pacer = settled()
    pacer.answered(next_frame_in_s=1 / 30, settled=False)
    assert all(pacer.offers(picture(), i / 30) for i in range(1, 5))


def test_a_still_picture_is_offered_at_the_heartbeat():
    pacer = settled()
    offered = [i / 10 for i in range(1, 31) if pacer.offers(picture(), i / 10)]
    assert offered == pytest.approx([1.0, 2.0, 3.0])


def test_beginning_and_ceasing_to_speak_is_offered_at_once():
    pacer = settled()
    assert pacer.wants(0.01, speaking=True)
    assert pacer.offers(picture(), 0.01, speaking=True)
    assert pacer.wants(0.02, speaking=False)
    assert pacer.offers(picture(), 0.02, speaking=False)


def test_a_clock_that_jumps_back_does_not_silence_the_track():
    pacer = settled()
    pacer.offers(picture(), 500.0)
    assert pacer.wants(1.0)
    assert pacer.offers(picture(), 1.0)


def test_after_a_clock_jumped_back_verdicts_and_the_timer_go_on_as_before():
    pacer = TrackPacer(PacingRules())
    pacer.kept(500.0)
    assert pacer.wants(2.0)
    pacer.kept(2.0)
    assert [pacer.keeps_unasked(at_s) for at_s in (2.1, 2.25, 2.3)] == [False, True, True]


def test_the_timer_keeps_four_frames_a_second_when_no_verdict_comes():
    pacer = TrackPacer(PacingRules())
    kept = 0
    for i in range(30):
        if pacer.keeps_unasked(i / 30):
            kept += 1
            pacer.kept(i / 30)
    assert kept == 4


def test_after_a_new_stream_the_next_look_is_offered():
    pacer = settled()
    pacer.reset()
    assert pacer.offers(picture(), 0.1)


def test_another_size_alone_is_a_move():
    assert moved_levels(picture(), picture(width=640)) == 255
    assert moved_levels(picture(), picture()) == 0


def test_a_picture_that_drifts_within_the_noise_floor_is_offered_before_it_hides_for_long():
    """By little enough to be suppressed it may pass the server's threshold; an equal one may wait for the heartbeat."""
    drifting, still = (settled(drift_interval_s=0.4, heartbeat_interval_s=1.0) for _ in range(2))
    looks_s = [i / 10 for i in range(1, 12)]
    assert next(at_s for at_s in looks_s if drifting.offers(picture(102), at_s)) == 0.4
    assert next(at_s for at_s in looks_s if still.offers(picture(101), at_s)) == 1.0
