"""Keeps cost events on disk until they are booked, so that they outlive the process that made them.

One JSON object a line: an event with its token, or the ids that are settled. A line is in the kernel's hands when `add`
returns, so a killed process loses nothing; a host that loses power may lose the last moments. The file holds bearer
tokens and is readable by its owner alone.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from hocket.ratelimit.v1.ledger_pb2 import CostEvent

# Settled lines are dropped when the file has grown to this, and most of it is such lines.
BYTES_MAX = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose an event is: the token it came with and, where known, the tenant that token proved."""

    token: str
    tenant_id: str = ""
    tenant_tier: str = ""


class CostJournal:
    """The events that one process still has to book. A second process on the same file is refused."""

    def __init__(self, path: Path, *, bytes_max: int = BYTES_MAX) -> None:
        """Open or make `path`. Raises OSError when it cannot be written or another process has it."""
        self._path = path
        self._bytes_max = bytes_max
        # Of its own, since the journal itself is replaced when it is rewritten.
        self._lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise OSError(f"{path} is the cost journal of another process; give each its own") from error
        self._pending = _read(path)
        self._pending_bytes = sum(map(len, self._pending.values()))
        self._file = -1
        self._bytes = 0
        self._rewrite()

    def pending(self) -> list[tuple[Origin, CostEvent]]:
        """Origin and event of everything added and not settled, oldest first."""
        lines = [json.loads(line) for line in self._pending.values()]
        return [(Origin(*line["origin"]), CostEvent.FromString(base64.b64decode(line["event"]))) for line in lines]

    def add(self, origin: Origin, event: CostEvent) -> None:
        """Keep `event`, which has an id, until it is settled. Raises OSError when the disk does not take it."""
        packed = base64.b64encode(event.SerializeToString()).decode()
        line = json.dumps({"id": event.event_id, "origin": astuple(origin), "event": packed}).encode() + b"\n"
        self._append(line)
        self._pending_bytes += len(line) - len(self._pending.get(event.event_id, b""))
        self._pending[event.event_id] = line

    def settle(self, event_ids: Iterable[str]) -> None:
        """Forget events that are booked, or lost and named in the log. Raises OSError as `add`."""
        ids = list(event_ids)
        for event_id in ids:
            self._pending_bytes -= len(self._pending.pop(event_id, b""))
        # Half of it at least: a long queue would else be written anew with each batch that is booked.
        if self._bytes > max(self._bytes_max, 2 * self._pending_bytes):
            self._rewrite()
        else:
            self._append(json.dumps({"settled": ids}).encode() + b"\n")

    def close(self) -> None:
        """Close the file; what is pending stays in it for the next start."""
        file, self._file = self._file, -1
        os.close(file)
        os.close(self._lock)

    def _rewrite(self) -> None:
        fresh = self._path.with_name(f"{self._path.name}.new")
        data = b"".join(self._pending.values())
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            _write(file, data)
            fresh.replace(self._path)
        except OSError:
            # The old file goes on; it only holds more than it must.
            os.close(file)
            fresh.unlink(missing_ok=True)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._bytes = file, len(data)

    def _append(self, data: bytes) -> None:
        try:
            _write(self._file, data)
        except OSError:
            # A disk that is full takes half a line, and the next one would be read as its rest.
            os.ftruncate(self._file, self._bytes)
            raise
        self._bytes += len(data)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _read(path: Path) -> dict[str, bytes]:
    """The lines of events not settled, by id."""
    pending: dict[str, bytes] = {}
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            entry = _entry(line)
            if "event" in entry:
                pending[entry["id"]] = line
            for event_id in entry.get("settled", ()):
                pending.pop(event_id, None)
    return pending


def _entry(line: bytes) -> dict[str, Any]:
    try:
        return json.loads(line) if line.endswith(b"\n") else {}
    except ValueError:
        # The line that a crash tore: its event had not been handed over yet.
        return {}
