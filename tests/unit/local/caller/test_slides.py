"""Slides are I420 pictures of the right size and colours."""

from __future__ import annotations

import numpy as np
from PIL import Image

from local.caller.slides import HEIGHT_PX, WIDTH_PX, Slide, draw_slide, to_i420


def test_slide_has_the_size_of_a_720p_i420_frame():
    frame = to_i420(draw_slide(Slide("Title", ("a", "b"), (20, 40, 60))))
    assert len(frame) == WIDTH_PX * HEIGHT_PX * 3 // 2


def test_colours_follow_bt601_limited_range():
    for colour, wanted in (((0, 0, 0), (16, 128, 128)), ((255,) * 3, (235, 128, 128)), ((255, 0, 0), (81, 90, 240))):
        planes = np.frombuffer(to_i420(Image.new("RGB", (4, 2), colour)), np.uint8)
        assert wanted == (planes[0], planes[8], planes[10])


def test_the_word_changes_only_its_own_region():
    before, after = (np.asarray(draw_slide(Slide("Title", ("a",), (20, 40, 60), word))) for word in ("", "NOW"))
    changed = np.argwhere((before != after).any(axis=2))
    assert len(changed)
    assert changed[:, 0].min() > 500
    assert changed[:, 1].min() > 700
