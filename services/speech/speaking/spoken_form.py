"""Turns written text into text for a voice: no Markdown, no emoji, one line."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^[ \t]*(```|~~~).*$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_LINE_MARK = re.compile(r"^[ \t]*(?:#{1,6}\s+|[-*+•]\s+|>\s*|\d+[.)]\s+(?=\S))", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*(?:[-*_=][ \t]*){3,}$|^(?=[^\n]*--)[ \t:|-]+$", re.MULTILINE)
_EMPHASIS = re.compile(r"\*{1,3}|_{2,3}|~~|`+|(?<!\w)_(?=\w)|(?<=\w)_(?!\w)")
_EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f\u200d]")


def speakable(text: str) -> str:
    """Return `text` without Markdown and emoji, in one line; empty where no letter or digit remains."""
    text = _RULE.sub(" ", _FENCE.sub(" ", text))
    text = _LINE_MARK.sub("", _LINK.sub(r"\1", text))
    text = _EMOJI.sub(" ", _EMPHASIS.sub("", text)).replace("|", ", ")
    text = " ".join(text.split())
    return text if any(c.isalnum() for c in text) else ""
