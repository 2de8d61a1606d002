"""Thumbnails are compared with the last keyframe and the previous frame of their track, in any batch."""

from __future__ import annotations

import numpy as np

from services.vision.gating.frame_difference import FULLY_CORRELATED, FrameDifference, ThumbnailBuffer, stack_thumbnails

FLAT = bytes([100]) * 4096


def spot(level: int, cells: int = 1) -> bytes:
    return bytes([level]) * cells + FLAT[cells:]


def measure(memory: ThumbnailBuffer, slots: list[int], lumas: list[bytes], chromas: list[bytes] | None = None):
    return memory.compare(slots, stack_thumbnails(lumas, chromas or [b""] * len(lumas)), [8] * len(slots))


def seen(slot: int = 0, luma: bytes = FLAT) -> ThumbnailBuffer:
    memory = ThumbnailBuffer()
    measure(memory, [slot], [luma])
    memory.hold_keyframes([slot], stack_thumbnails([luma], [b""]))
    return memory


def test_a_cell_changes_above_the_threshold():
    assert measure(seen(), [0], [spot(108)]) == [FrameDifference(0, 8, 0, 8, 8 / 4096)]
    assert measure(seen(), [0], [spot(109)]) == [FrameDifference(1, 9, 1, 9, 9 / 4096)]
    assert measure(seen(), [0], [spot(91)]) == [FrameDifference(1, 9, 1, 9, 9 / 4096)]


def test_keyframe_and_previous_frame_are_compared_separately():
    memory = seen()
    measure(memory, [0], [spot(200, cells=5)])
    assert measure(memory, [0], [spot(200, cells=5)]) == [FrameDifference(5, 100, 0, 0, 0.0)]


def test_colours_of_equal_luma_differ():
    red, green = bytes([90] * 256 + [240] * 256), bytes([54] * 256 + [34] * 256)
    memory = ThumbnailBuffer()
    measure(memory, [0], [FLAT], [red])
    memory.hold_keyframes([0], stack_thumbnails([FLAT], [red]))
    assert measure(memory, [0], [FLAT], [green])[0].cells_changed == 4096


def test_tracks_of_one_batch_are_independent():
    memory = seen(0)
    measure(memory, [9], [spot(50)])
    memory.hold_keyframes([9], stack_thumbnails([spot(50)], [b""]))
    assert measure(memory, [9, 0], [spot(50), spot(50)]) == [
        FrameDifference(0, 0, 0, 0, 0.0),
        FrameDifference(1, 50, 1, 50, 50 / 4096),
    ]


def test_sensor_noise_of_a_covered_lens_changes_no_cell():
    rng = np.random.default_rng(5)

    def noisy() -> bytes:
        # Noise of sigma 6 per pixel, averaged over the 225 pixels of a 720p cell.
        return np.clip(rng.normal(12, 6 / 15, 4096) + 0.5, 0, 255).astype(np.uint8).tobytes()

    memory = seen(0, noisy())
    assert all(measure(memory, [0], [noisy()])[0].cells_changed == 0 for _ in range(60))


def test_a_batch_gives_the_differences_of_single_frames():
    """Large batches are compared in parts."""
    rng = np.random.default_rng(6)
    frames = rng.integers(0, 256, (2, 40, 4608), dtype=np.uint8)
    slots, thresholds = rng.permutation(40).tolist(), rng.integers(1, 200, 40).tolist()
    together, alone = ThumbnailBuffer(), ThumbnailBuffer()
    for batch in frames:
        expected = [alone.compare([slot], batch[i : i + 1], [thresholds[i]])[0] for i, slot in enumerate(slots)]
        assert together.compare(slots, batch, thresholds) == expected


def test_motion_correlation_tells_motion_from_noise():
    rng = np.random.default_rng(7)
    alone = np.clip(rng.normal(100, 4, 4096), 0, 255).astype(np.uint8)
    together = np.kron(rng.normal(100, 6, (16, 16)), np.ones((4, 4))).astype(np.uint8).reshape(-1)
    alike = [measure(seen(), [0], [luma])[0].motion_correlation for luma in (alone.tobytes(), together.tobytes())]
    assert abs(alike[0]) < 0.1
    assert 0.6 < alike[1] < 0.9


def test_correlation_is_measured_only_where_noise_is_possible():
    flicker = bytes([108]) * 4096
    patch = bytes([100]) * 3996 + bytes([220]) * 100
    hardly = bytes([101]) * 4096
    assert [measure(seen(), [0], [luma])[0].motion_correlation for luma in (flicker, patch, hardly)] == [
        FULLY_CORRELATED
    ] * 3
