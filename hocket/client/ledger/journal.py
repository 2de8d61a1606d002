"""Journal file of cost events that are not recorded yet, so that they survive the process that made them.

The file holds one JSON object per line: an event with its token, or the ids of events to drop. `add` returns after the
write system call: a killed process loses nothing; a host that loses power may lose the last moments, because the file
is not synced. The file holds bearer tokens and is readable by its owner alone.
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

# The file is compacted when it is larger than this and at least half of it is dropped events.
BYTES_MAX = 8 * 1024 * 1024
# Name of the field that lists dropped event ids. It is part of the file format: older journals hold it too.
_DROPPED = "settled"


@dataclass(frozen=True, slots=True)
class EventOrigin:
    """The token that a cost event was made with, and the verified tenant of that token where it is known."""

    token: str
    tenant_id: str = ""
    tenant_tier: str = ""


class CostJournal:
    """Durable list of the cost events that one process has still to record.

    One process per file: a lock file beside it refuses a second one.

    Example:
            journal = CostJournal(Path("/var/lib/hocket/costs"))
            journal.add(EventOrigin(token, "acme", "premium"), event)
            ...                                     # the event is recorded in the ledger
            journal.drop([event.event_id])
    """

    def __init__(self, path: Path, *, bytes_max: int = BYTES_MAX) -> None:
        """Open or create the journal file and read the events in it.

        Args:
            path: The journal file; `<path>.lock` and `<path>.new` are used beside it.
            bytes_max: File size in bytes above which dropped events are compacted away.

        Raises:
            OSError: The file cannot be written, or another process has locked it.
        """
        self._path = path
        self._bytes_max = bytes_max
        # A file of its own holds the lock, because compaction replaces the journal file.
        self._lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise OSError(
                f"cost journal {path} is locked by another process; configure one file per process"
            ) from error
        self._pending = _read(path)
        self._pending_bytes = sum(map(len, self._pending.values()))
        self._file = -1
        self._bytes = 0
        self._compact()

    def pending(self) -> list[tuple[EventOrigin, CostEvent]]:
        """Return every event that was added and not dropped, oldest first, with its origin."""
        lines = [json.loads(line) for line in self._pending.values()]
        return [(EventOrigin(*line["origin"]), CostEvent.FromString(base64.b64decode(line["event"]))) for line in lines]

    def add(self, origin: EventOrigin, event: CostEvent) -> None:
        """Write an event to the file. An event with the same id replaces the earlier one.

        Args:
            origin: The token and tenant of the event.
            event: The event; its event_id must be set.

        Raises:
            OSError: The disk did not take the line. The journal is unchanged.
        """
        packed = base64.b64encode(event.SerializeToString()).decode()
        line = json.dumps({"id": event.event_id, "origin": astuple(origin), "event": packed}).encode() + b"\n"
        self._append(line)
        self._pending_bytes += len(line) - len(self._pending.get(event.event_id, b""))
        self._pending[event.event_id] = line

    def drop(self, event_ids: Iterable[str]) -> None:
        """Remove events that are recorded in the ledger, or logged as lost.

        Args:
            event_ids: Ids of the events; unknown ids are ignored.

        Raises:
            OSError: The disk did not take the line. The events come back when the file is next opened; recording them
                twice is harmless, because the ledger knows their ids.
        """
        ids = list(event_ids)
        for event_id in ids:
            self._pending_bytes -= len(self._pending.pop(event_id, b""))
        # Only when half of the file is dropped events: otherwise each batch would rewrite a long backlog.
        if self._bytes > max(self._bytes_max, 2 * self._pending_bytes):
            self._compact()
        else:
            self._append(json.dumps({_DROPPED: ids}).encode() + b"\n")

    def close(self) -> None:
        """Close the file and release the lock. Pending events stay in the file for the next start."""
        file, self._file = self._file, -1
        os.close(file)
        os.close(self._lock)

    def _compact(self) -> None:
        fresh = self._path.with_name(f"{self._path.name}.new")
        data = b"".join(self._pending.values())
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            _write(file, data)
            fresh.replace(self._path)
        except OSError:
            # The old file stays in use; it is complete, only larger than necessary.
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
            # A full disk takes a part of the line; the next line would be read as its continuation.
            os.ftruncate(self._file, self._bytes)
            raise
        self._bytes += len(data)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _read(path: Path) -> dict[str, bytes]:
    """Return the lines of all events that are not dropped, by event id."""
    pending: dict[str, bytes] = {}
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            entry = _parse(line)
            if "event" in entry:
                pending[entry["id"]] = line
            for event_id in entry.get(_DROPPED, ()):
                pending.pop(event_id, None)
    return pending


def _parse(line: bytes) -> dict[str, Any]:
    try:
        return json.loads(line) if line.endswith(b"\n") else {}
    except ValueError:
        # A crash cut this line short: `add` had not returned, so the event was not accepted.
        return {}
