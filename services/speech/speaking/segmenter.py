"""Decides which text is ready to be spoken while a model still writes it.

The first segment is cut early, at a clause of a few words, since the caller hears silence until then. Later segments
are whole sentences: a voice needs them for intonation. Cuts depend on the text alone, not on how it was delivered.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.speech.speaking.spoken_form import speakable

# Abbreviations that never end a sentence.
_TITLES = frozenset(
    (
        *("mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "vs", "e.g", "i.e", "cf", "no", "fig", "approx", "dept"),
        *("est", "gen", "col", "capt", "rev", "hon"),
    )
)
# Abbreviations that end a sentence where a capital follows.
_OPEN_ENDED = frozenset(
    (
        *("a.m", "p.m", "etc", "inc", "ltd", "co", "corp", "u.s", "u.k", "u.n", "ph.d", "min", "max"),
        *("jan", "feb", "mar", "apr", "aug", "sept", "oct", "nov", "dec"),
    )
)
# A long first clause may be cut before one of these words, where speakers pause too.
_BREAK_WORDS = frozenset(
    (
        *("and", "but", "or", "so", "because", "that", "which", "who", "when", "while", "where", "if"),
        *("at", "on", "in", "for", "to", "from", "with", "of", "until", "before", "after"),
    )
)
_TERMINATORS = ".!?…"
_CLAUSE_MARKS = ",;:—–"
_CLOSERS = "\"'”’)]*_"
# Words of the first segment before it may be cut at a break word, and before it is cut anywhere.
FIRST_BREAK_WORDS = 4
FIRST_WORDS_MAX = 8
# From here on a sentence is cut at its last clause, and a third later at any word.
LONG_CHARS = 240
SEGMENT_CHARS_MAX = 400
SENTENCE_PAUSE_MS = 180
CLAUSE_PAUSE_MS = 60


@dataclass(frozen=True, slots=True)
class Segment:
    """Text that the engine speaks in one call.

    Attributes:
        raw: The text as the model wrote it.
        spoken: Text for the voice, without Markdown; empty where `raw` holds no letter or digit.
        pause_ms: Silence before the segment, from the punctuation that ended the previous one.
    """

    raw: str
    spoken: str
    pause_ms: int


@dataclass(slots=True)
class Segmenter:
    """Cuts one reply into segments. Their `raw` texts, joined, are the text that was written."""

    _held: str = ""
    _words: int = 0
    _word_start: int = 0
    _open_end: int = 0
    _clause_end: int = 0
    _spoken_before: bool = False
    _pause_ms: int = 0

    def write(self, text: str) -> list[Segment]:
        """Append `text`; return the segments that it completes."""
        ready: list[Segment] = []
        for char in text:
            at = self._cut_at(char)
            self._held += char
            if at:
                ready.append(self._take(at))
        return ready

    def flush(self) -> list[Segment]:
        """Return the held text as a last segment, also in the middle of a sentence."""
        return [self._take(len(self._held))] if self._held else []

    def _cut_at(self, char: str) -> int:
        """Return the length at which to cut once `char` is appended; 0 for no cut."""
        size = len(self._held)
        if not char.isspace():
            return self._cut_before(char, size)
        before = self._held.rstrip(_CLOSERS)
        word_done = size > self._word_start and not self._held[-1].isspace()
        if word_done:
            self._words += 1
        at = 0
        if not self._held.strip():
            at = 0
        elif char == "\n":
            at = size + 1
        elif word_done and before and before[-1] in _TERMINATORS:
            at = self._sentence_cut(before, size + 1)
        elif word_done and before and before[-1] in _CLAUSE_MARKS:
            self._clause_end = size + 1
            at = size + 1 if not self._spoken_before else 0
        elif word_done and not self._spoken_before:
            at = self._opening_cut(size + 1)
        self._word_start = size + 1
        return at or self._long_cut(size + 1)

    def _cut_before(self, char: str, size: int) -> int:
        if self._open_end and char.isupper():
            return self._open_end
        if char.isalnum():
            self._open_end = 0
        return SEGMENT_CHARS_MAX if size + 1 >= SEGMENT_CHARS_MAX else 0

    def _sentence_cut(self, before: str, at: int) -> int:
        word = before[self._word_start :].rstrip(".").lstrip("\"'“‘([*_").lower()
        if not before.endswith(".") or before.endswith("..") or not word:
            return at
        if word in _TITLES or self._is_list_number(word) or (len(word) == 1 and word.isalpha() and word != "i"):
            return 0
        if word in _OPEN_ENDED:
            self._open_end = at
            return 0
        return at

    def _is_list_number(self, word: str) -> bool:
        return word.isdigit() and not self._held[: self._word_start].strip()

    def _opening_cut(self, at: int) -> int:
        last = self._held[self._word_start :].lower()
        if self._words > FIRST_BREAK_WORDS and last in _BREAK_WORDS:
            return self._word_start
        return at if self._words >= FIRST_WORDS_MAX else 0

    def _long_cut(self, at: int) -> int:
        return (self._clause_end or at) if at >= LONG_CHARS and (self._clause_end or at >= LONG_CHARS * 4 // 3) else 0

    def _take(self, at: int) -> Segment:
        raw, self._held = self._held[:at], self._held[at:]
        segment = Segment(raw, speakable(raw), self._pause_ms)
        self._words = len(self._held.split()) if not self._held or self._held[-1].isspace() else 0
        self._word_start = self._held.rfind(" ") + 1
        self._open_end = self._clause_end = 0
        if segment.spoken:
            self._spoken_before = True
            ending = segment.spoken[-1]
            self._pause_ms = SENTENCE_PAUSE_MS if ending in _TERMINATORS or raw.endswith("\n") else CLAUSE_PAUSE_MS
            if not (raw.endswith("\n") or ending in _TERMINATORS or ending in _CLAUSE_MARKS):
                self._pause_ms = 0
        return segment
