"""Decides whether a turn refers to something visible, and so whether a kept frame is attached to it.

An image costs tokens and restricts the router to models with vision, and most turns of a call with a camera on do not
refer to it. A frame is attached only if the user's words refer to something visible, or if the tenant asks for every
new frame.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# English only; other languages rely on `attach_newest`. Precision over recall: "this" alone is in every third sentence.
# Names of what a camera or a shared screen shows.
_VISIBLE_NOUNS = re.compile(
    r"\b(screen(shot)?s?|pictures?|photos?|images?|camera|video|slides?|diagrams?|charts?|graphs?|drawings?|sketch(es)?"
    r"|dialog(ue)? box|pop-?up|error message|monitor|display|window|whiteboard|page on)\b",
    re.IGNORECASE,
)
# Phrases that point at it.
_POINTING = re.compile(
    r"\b((can|do|could|did) you see|you see\b|look(ing)? at|what('s| is) (this|that|these|those)\b"
    r"|what (am i|are we|are) (looking|holding|showing|wearing|these|those)"
    r"|(read|describe|explain) (this|that|it|what you see)|in front of (me|you)"
    r"|i('m| am) (showing|holding|pointing|sharing)|shown? (here|there)|over here|(which|what) colou?r)",
    re.IGNORECASE,
)
# Idioms of seeing that refer to nothing visible.
_IDIOMS = re.compile(
    r"\b(see you|i see\b|let me see|we('ll| will) see|see (also|whether|if)|look(ing)? forward|looks like"
    r"|get the picture|big picture|the bigger picture)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class FrameState:
    """State of the newest kept frame.

    Attributes:
        age_s: Seconds since the frame was kept.
        used: Whether a turn has carried it.
    """

    age_s: float
    used: bool


def refers_to_visible(text: str) -> bool:
    """Return whether the user's words refer to something visible."""
    without_idioms = _IDIOMS.sub(" ", text)
    return bool(_VISIBLE_NOUNS.search(without_idioms) or _POINTING.search(without_idioms))


def attaches_frame(text: str, newest: FrameState | None, *, age_s_max: float, attach_newest: bool) -> bool:
    """Return whether the newest kept frame is attached to the turn.

    A frame of an unchanged picture stays the newest one for long, so its age is ignored when the user refers to
    something visible. Otherwise only a recent and unused frame is worth its tokens.

    Args:
        text: The user's words.
        newest: State of the newest kept frame, or None if there is none.
        age_s_max: Age in seconds up to which a frame is attached without a reference.
        attach_newest: Whether unused frames are attached without a reference.
    """
    if newest is None:
        return False
    if refers_to_visible(text):
        return True
    return attach_newest and not newest.used and newest.age_s <= age_s_max
