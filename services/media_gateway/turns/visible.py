"""Decides whether a turn is about something the person shows, and so whether a picture goes with it.

A picture costs tokens and forces the router to a model that sees; most turns of a call with a camera on are not about
it. So one is attached only when the words point at something visible, or where every new one is asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Words that name what a camera or a shared screen shows, and ways of pointing at it. English; other languages rely on
# `attach_newest`. Precision over recall for the pointing words: "this" alone is in every third sentence.
_SHOWN = re.compile(
    r"\b(screen(shot)?s?|pictures?|photos?|images?|camera|video|slides?|diagrams?|charts?|graphs?|drawings?|sketch(es)?"
    r"|dialog(ue)? box|pop-?up|error message|monitor|display|window|whiteboard|page on)\b",
    re.IGNORECASE,
)
_POINTING = re.compile(
    r"\b((can|do|could|did) you see|you see\b|look(ing)? at|what('s| is) (this|that|these|those)\b"
    r"|what (am i|are we|are) (looking|holding|showing|wearing|these|those)"
    r"|(read|describe|explain) (this|that|it|what you see)|in front of (me|you)"
    r"|i('m| am) (showing|holding|pointing|sharing)|shown? (here|there)|over here|(which|what) colou?r)",
    re.IGNORECASE,
)
# Words about seeing that point at nothing.
_IDLE = re.compile(
    r"\b(see you|i see\b|let me see|we('ll| will) see|see (also|whether|if)|look(ing)? forward|looks like"
    r"|get the picture|big picture|the bigger picture)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class HeldFrame:
    """A kept frame by its age in seconds, and whether a turn has carried it already."""

    age_s: float
    used: bool


def refers_to_visible(text: str) -> bool:
    """Whether the words of a turn are about something that is shown."""
    cleared = _IDLE.sub(" ", text)
    return bool(_SHOWN.search(cleared) or _POINTING.search(cleared))


def attach(text: str, newest: HeldFrame | None, *, age_s_max: float, attach_newest: bool) -> bool:
    """Whether the newest kept frame goes with the turn.

    A picture that has not changed is not kept anew for long, so age alone does not make a frame stale while somebody
    asks about it; unasked, only a fresh and unused one is worth its tokens.
    """
    if newest is None:
        return False
    if refers_to_visible(text):
        return True
    return attach_newest and not newest.used and newest.age_s <= age_s_max
