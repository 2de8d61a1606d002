"""Text for a voice without Markdown and emoji."""

from __future__ import annotations

import pytest

from services.speech.speaking.spoken_form import speakable


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("**Bold** and _soft_ `code`", "Bold and soft code"),
        ("## Title", "Title"),
        ("- one item", "one item"),
        ("See [the docs](https://example.com/a.b).", "See the docs."),
        ("```python", ""),
        ("---", ""),
        ("Great 🎉 news", "Great news"),
        ("snake_case stays", "snake_case stays"),
        ("...", ""),
    ],
)
def test_markdown_and_emoji_are_removed(written, spoken):
    assert spoken == speakable(written)
