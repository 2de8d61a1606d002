"""What uv.lock installs for an extra or a dependency group, over every Python version and platform."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "hocket"
# Extras that are installed by name, in the order in which documents list them; `server` is only a part of others.
EXTRAS = (
    *("client", "llm-router", "llm-router-fit", "media-gateway", "rag", "ratelimit"),
    *("speech", "speech-embedded", "vision", "local"),
)
GROUPS = ("dev", "bench")


@dataclass(frozen=True, slots=True)
class Locked:
    """One package of the lock.

    Attributes:
        name: Normalised name of the distribution.
        versions: Every locked version, oldest first; more than one where Python versions or platforms differ.
        users: Extras of EXTRAS that install it; ("dev",) when only dependency groups do.
    """

    name: str
    versions: tuple[str, ...]
    users: tuple[str, ...]


class Lock:
    """The packages of uv.lock and what depends on what."""

    def __init__(self, path: Path = ROOT / "uv.lock") -> None:
        """Read `path`."""
        entries: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["package"]
        self._entries: dict[str, list[dict[str, Any]]] = {}
        for entry in entries:
            self._entries.setdefault(entry["name"], []).append(entry)

    def packages(self) -> list[Locked]:
        """Return every package but hocket itself, by name."""
        by_extra = {extra: self.of_extra(extra) for extra in EXTRAS}
        users = {name: tuple(e for e in EXTRAS if name in by_extra[e]) or ("dev",) for name in self._entries}
        return [
            Locked(name, tuple(entry["version"] for entry in entries), users[name])
            for name, entries in sorted(self._entries.items())
            if name != PROJECT
        ]

    def of_extra(self, extra: str) -> set[str]:
        """Return the names that `hocket[extra]` installs."""
        (project,) = self._entries[PROJECT]
        return self._reachable([*project["dependencies"], *project["optional-dependencies"][extra]])

    def requirements(self, name: str) -> set[str]:
        """Return the names that package `name` requires directly, without extras."""
        return {each["name"] for entry in self._entries[name] for each in entry.get("dependencies", ())}

    def _reachable(self, roots: Sequence[Mapping[str, Any]]) -> set[str]:
        found: set[str] = set()
        seen: set[tuple[str, tuple[str, ...]]] = set()
        waiting = list(roots)
        while waiting:
            required = waiting.pop()
            key = (required["name"], tuple(required.get("extra", ())))
            if key not in seen:
                seen.add(key)
                found.add(key[0])
                waiting += self._required_by(*key)
        return found

    def _required_by(self, name: str, extras: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        for entry in self._entries[name]:
            yield from entry.get("dependencies", ())
            for extra in extras:
                yield from entry.get("optional-dependencies", {}).get(extra, ())
