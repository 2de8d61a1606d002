"""Decides where a document is split into passages: at headings, then between sentences, never inside a character."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Part of the fingerprint of a document. Increase it if splitting or term analysis changes: documents are then stored
# again when they are next ingested.
VERSION = 1

# Possessive quantifiers avoid backtracking: otherwise a megabyte of "!" would block the interpreter for hours.
_HEADING = re.compile(r"[ ]{0,3}(#{1,6})[ \t]+(.*)")
_FENCE = re.compile(r"[ ]{0,3}(```|~~~)")
_SENTENCE_END = re.compile(
    r"""(?<![.!?…])[.!?…]++["'”’)\]]*+(?=\s)|[。！？]++"""
    r"""|\n(?=[ \t]*(?:[-*+]|\d+[.)])[ \t])|\n[ \t]*(?=\n)"""
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document: `text` is bytes [start_byte, end_byte) of its UTF-8. `headings` are outermost first."""

    start_byte: int
    end_byte: int
    text: str
    headings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Section:
    """Characters [start, end) under `headings`, outermost first."""

    start: int
    end: int
    headings: tuple[str, ...]


def split_into_chunks(text: str, bytes_max: int) -> list[Chunk]:
    """Split a document into passages.

    Headings are not part of the text of passages, because an agent would read them aloud between sentences; each
    passage lists the headings above it. A heading without text below it becomes a passage of its own.

    Args:
        text: Plain text or Markdown.
        bytes_max: Largest passage in bytes of UTF-8.

    Returns:
        Passages in order, without overlap. Between them are only white space and headings.
    """
    made: list[Chunk] = []
    at_character = at_byte = 0
    for section in _sections(text):
        for start, end in _packed(text, section, bytes_max):
            at_byte += len(text[at_character:start].encode())
            piece = text[start:end]
            size = len(piece.encode())
            made.append(Chunk(at_byte, at_byte + size, piece, section.headings))
            at_character, at_byte = end, at_byte + size
    return made


def _sections(text: str) -> Iterator[_Section]:
    path: list[tuple[int, str]] = []
    heading_start, start, at = 0, 0, 0
    fence = ""
    for line in text.splitlines(keepends=True):
        marker = _FENCE.match(line)
        if marker and fence in ("", marker[1]):
            fence = "" if fence else marker[1]
        heading = None if fence else _HEADING.match(line.rstrip("\r\n"))
        if heading:
            level = len(heading[1])
            leaf = not path or level <= path[-1][0]
            yield from _closed(text, heading_start, start, at, path, leaf=leaf)
            name = heading[2].rstrip(" \t").rstrip("#").rstrip(" \t")
            path = [*((depth, above) for depth, above in path if depth < level), (level, name)]
            heading_start, start = at + heading.start(2), at + len(line)
        at += len(line)
    yield from _closed(text, heading_start, start, at, path, leaf=True)


def _closed(
    text: str, heading_start: int, start: int, end: int, path: list[tuple[int, str]], *, leaf: bool
) -> Iterator[_Section]:
    headings = tuple(name for _, name in path if name)
    if text[start:end].strip():
        yield _Section(start, end, headings)
    elif leaf and path and path[-1][1]:
        yield _Section(heading_start, heading_start + len(path[-1][1]), headings[:-1])


def _packed(text: str, section: _Section, bytes_max: int) -> Iterator[tuple[int, int]]:
    """Yield runs of whole sentences that fit. A run over half of the size ends at the end of its paragraph."""
    first = last = -1
    size = 0
    for start, end in _sentences(text, section, bytes_max):
        if first >= 0:
            between = text[last:start]
            grown = size + len(text[last:end].encode())
            if grown > bytes_max or (size > bytes_max // 2 and between.count("\n") > 1):
                yield first, last
                first = -1
            else:
                size = grown
        if first < 0:
            first, size = start, len(text[start:end].encode())
        last = end
    if first >= 0:
        yield first, last


def _sentences(text: str, section: _Section, bytes_max: int) -> Iterator[tuple[int, int]]:
    at = section.start
    ends = [match.end() for match in _SENTENCE_END.finditer(text, section.start, section.end)]
    for end in (*ends, section.end):
        start, stop = _trimmed(text, at, end)
        while start < stop:
            piece_end = _fitting(text, start, stop, bytes_max)
            yield _trimmed(text, start, piece_end)
            start, stop = _trimmed(text, piece_end, stop)
        at = end


def _fitting(text: str, start: int, stop: int, bytes_max: int) -> int:
    """Return the end of a piece of at most `bytes_max` bytes from `start`: `stop`, else a word's end, else any."""
    piece = text[start : min(stop, start + bytes_max)].encode()[:bytes_max].decode(errors="ignore")
    end = start + len(piece)
    if end >= stop:
        return stop
    space = max(piece.rfind(" "), piece.rfind("\n"))
    return start + space if space > 0 else end


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
