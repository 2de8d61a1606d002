"""Decides where a document splits into passages: at headings, then between sentences, never inside a character."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Part of a document's fingerprint: a new way to split or to count terms must not leave documents "unchanged".
VERSION = 1

# Patterns that never read a run of characters again: a megabyte of "!" must not hold the interpreter for hours.
_HEADING = re.compile(r"[ ]{0,3}(#{1,6})[ \t]+(.*)")
_FENCE = re.compile(r"[ ]{0,3}(```|~~~)")
_SENTENCE_END = re.compile(
    r"""(?<![.!?…])[.!?…]++["'”’)\]]*+(?=\s)|[。！？]++"""
    r"""|\n(?=[ \t]*(?:[-*+]|\d+[.)])[ \t])|\n[ \t]*(?=\n)"""
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document: `text` is exactly bytes [start_byte, end_byte) of its UTF-8."""

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


def chunks(text: str, bytes_max: int) -> list[Chunk]:
    """Passages of at most `bytes_max` bytes in order, without overlap; what lies between them is space and headings.

    Headings are left out, as nobody wants them read aloud between sentences; each passage names those above it. Only
    a heading with nothing below it is a passage of its own.
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
    """Runs of whole sentences that fit; a run past half of the size ends with its paragraph."""
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
    """Where a piece of at most `bytes_max` bytes from `start` ends: at `stop`, else after a word, else anywhere."""
    piece = text[start : min(stop, start + bytes_max)].encode()[:bytes_max].decode(errors="ignore")
    end = start + len(piece)
    if end >= stop:
        return stop
    space = max(piece.rfind(" "), piece.rfind("\n"))
    return start + space if space > 0 else end


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
