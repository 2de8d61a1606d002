"""Parses task requests: title and due time in "remind me to call Anna tomorrow at five"."""

from __future__ import annotations

import re
from dataclasses import dataclass

_POLITE = (
    r"hey|ok|okay|hi|hello|well|so|and|please|can you|could you|would you|will you"
    r"|i(?:'d| would) like you to|i want you to|i need you to"
)
_LEAD = rf"^(?:(?:{_POLITE})[,\s]+)*"
_A = r"(?:me )?(?:a |an |another |one )?(?:new )?"
_TASK = r"(?:task|to-?do|todo|action item|ticket)(?: item)?(?: for me)?"
_SAYING = r"(?:[:,]| that says| called| named| titled| saying| to| for| about)?"
_LIST = r"(?:my|the|our) (?:[\w-]+ )?(?:list|tasks|to-?dos?|todos?)"
_SOON = r"(?:on|at|by|in|next|this|tomorrow|tonight|today)"
_FORMS = tuple(
    re.compile(_LEAD + form, re.IGNORECASE | re.DOTALL)
    for form in (
        rf"remind me (?:(?P<due>{_SOON}\b.*?) )?(?:to|about|that|of) (?P<title>.+)$",
        r"(?:set|make|create|add) (?:me )?(?:a |an |another |one )?reminder (?:(?:to|for|about|that) )?(?P<title>.+)$",
        rf"(?:create|add|make|open|set up|file|start) {_A}{_TASK}{_SAYING}\s+(?P<title>.+)$",
        rf"(?:add|put) (?P<title>.+?) (?:to|on|onto|in) {_LIST}\b(?P<due>.*)$",
        r"(?:don'?t let me forget|i need to remember|help me remember) (?:to|about|that)?\s*(?P<title>.+)$",
    )
)
_DAY = r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_MONTH = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december) \d{1,2}(?:st|nd|rd|th)?"
)
_PART = r"(?: (?:morning|afternoon|evening|night))?"
_NUMBER = r"(?:an?|\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|half an)"
_CLOCK = (
    rf"(?:at (?:\d{{1,2}}(?::\d{{2}})?\s*(?:am|pm|a\.m\.|p\.m\.|o'clock)?|noon|midnight"
    rf"|{_NUMBER}(?: (?:am|pm|o'clock|thirty|fifteen))?))"
)
_SPAN = rf"(?:in {_NUMBER} (?:minutes?|hours?|days?|weeks?|months?))"
_DATE = (
    rf"(?:(?:on |by |before |until |for )?(?:today|tonight|tomorrow{_PART}|(?:next |this )?{_DAY}{_PART}"
    rf"|next (?:week|month|year)|the end of (?:the )?(?:day|week|month)|\d{{4}}-\d{{2}}-\d{{2}}|{_MONTH}))"
)
_DUE = re.compile(
    rf"[,\s]+(?P<due>{_DATE}(?:[,\s]+{_CLOCK})?|{_CLOCK}(?:[,\s]+{_DATE})?|{_SPAN})(?:,? please)?[\s.!?]*$",
    re.IGNORECASE,
)
_WISH = re.compile(
    r"\b(?:remind me|reminder|(?:new |a |another )task|to-?do|my list|the list|don'?t let me forget)\b", re.IGNORECASE
)
_ASKS = re.compile(
    r"^\s*(?:what|which|how|when|where|who|why|do i|did i|have i|is|are|was|were|list|show|read)\b", re.IGNORECASE
)
TITLE_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class TaskIntent:
    """A requested task. `due` is in the speaker's words; empty when not mentioned."""

    title: str
    due: str = ""


def parse_task(text: str) -> TaskIntent | None:
    """Return the task that `text` asks for, or None."""
    text = " ".join(text.split())
    for form in _FORMS:
        found = form.match(text)
        if found is None:
            continue
        groups = found.groupdict()
        title, due = _split_due(groups["title"])
        due = due or _split_due(f" {groups.get('due') or ''}")[1] or (groups.get("due") or "").strip(" .,!?")
        title = title.strip(" .,!?:;\"'")
        return TaskIntent(title[:1].upper() + title[1:TITLE_CHARACTERS_MAX], due) if title else None
    return None


def mentions_task(text: str) -> bool:
    """True when `text` asks for a task, even without a title; questions about tasks do not count."""
    return parse_task(text) is not None or (bool(_WISH.search(text)) and not _ASKS.match(text))


def _split_due(text: str) -> tuple[str, str]:
    found = _DUE.search(text)
    if found is None:
        return re.sub(r",?\s*please[.!?]*$", "", text, flags=re.IGNORECASE), ""
    return text[: found.start()], re.sub(r"^(?:on|by|before|for) ", "", found["due"], flags=re.IGNORECASE).strip(" .,")
