"""CostJournal returns the events that were added and not dropped, also after a crash in the middle of a write."""

from __future__ import annotations

import errno
import json
import os

import pytest
from hocket.ratelimit.v1.ledger_pb2 import CostEvent
from hypothesis import given
from hypothesis import strategies as st

from hocket.client.ledger import CostJournal, EventOrigin


def ids(journal: CostJournal) -> list[str]:
    return [event.event_id for _, event in journal.pending()]


def test_events_and_origins_are_read_back_in_order(tmp_path):
    journal = CostJournal(tmp_path / "j")
    first, second = CostEvent(event_id="a", cost_micro_usd=5, model="é\n"), CostEvent(event_id="b")
    journal.add(EventOrigin("token-a", "acme", "free"), first)
    journal.add(EventOrigin("token-b"), second)
    journal.close()
    again = CostJournal(tmp_path / "j")
    assert again.pending() == [(EventOrigin("token-a", "acme", "free"), first), (EventOrigin("token-b"), second)]
    again.drop(["a"])
    again.close()
    third = CostJournal(tmp_path / "j")
    assert ids(third) == ["b"]
    third.close()


def test_second_journal_on_the_same_file_is_refused(tmp_path):
    journal = CostJournal(tmp_path / "j")
    with pytest.raises(OSError, match="another process"):
        CostJournal(tmp_path / "j")
    journal.close()
    CostJournal(tmp_path / "j").close()


def test_file_is_compacted_and_readable_by_its_owner_alone(tmp_path):
    journal = CostJournal(tmp_path / "j", bytes_max=2000)
    journal.add(EventOrigin("t"), CostEvent(event_id="kept"))
    for number in range(200):
        journal.add(EventOrigin("t"), CostEvent(event_id=str(number)))
        journal.drop([str(number)])
    assert (tmp_path / "j").stat().st_size < 2500
    assert (tmp_path / "j").stat().st_mode & 0o077 == 0
    assert ids(journal) == ["kept"]
    journal.close()


def test_long_backlog_is_not_rewritten_for_each_batch(tmp_path, monkeypatch):
    journal = CostJournal(tmp_path / "j", bytes_max=2000)
    for number in range(100):
        journal.add(EventOrigin("t"), CostEvent(event_id=str(number)))
    compactions: list[int] = []
    compact = journal._compact
    monkeypatch.setattr(journal, "_compact", lambda: (compactions.append(len(ids(journal))), compact()))  # type: ignore[func-returns-value]
    for number in range(100):
        journal.drop([str(number)])
    # Each compaction waits until half of the file is dropped events: log2(100) of them at most.
    assert len(compactions) <= 7
    assert compactions[0] >= 25
    assert ids(journal) == []
    assert (tmp_path / "j").stat().st_size <= 2100
    journal.close()


class FullDisk:
    """Replaces os.write: takes `bytes_left` more bytes, the last write a short one, then raises ENOSPC."""

    def __init__(self, monkeypatch) -> None:
        self.bytes_left = 1_000_000
        self._write = os.write
        monkeypatch.setattr("hocket.client.ledger.journal.os.write", self.write)

    def write(self, file: int, data) -> int:
        if self.bytes_left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(file, bytes(data)[: self.bytes_left])
        self.bytes_left -= written
        return written


def test_full_disk_loses_only_the_event_being_written(tmp_path, monkeypatch):
    disk = FullDisk(monkeypatch)
    journal = CostJournal(tmp_path / "j")
    journal.add(EventOrigin("t"), CostEvent(event_id="before"))
    disk.bytes_left = 10
    with pytest.raises(OSError, match="No space"):
        journal.add(EventOrigin("t"), CostEvent(event_id="meanwhile"))
    disk.bytes_left = 1_000_000
    journal.add(EventOrigin("t"), CostEvent(event_id="after"))
    assert ids(journal) == ["before", "after"]
    journal.close()
    again = CostJournal(tmp_path / "j")
    assert ids(again) == ["before", "after"]
    again.close()


def test_failed_compaction_keeps_the_old_file(tmp_path, monkeypatch):
    disk = FullDisk(monkeypatch)
    journal = CostJournal(tmp_path / "j", bytes_max=100)
    journal.add(EventOrigin("t" * 200), CostEvent(event_id="kept"))
    journal.add(EventOrigin("t" * 200), CostEvent(event_id="dropped"))
    disk.bytes_left = 10
    with pytest.raises(OSError, match="No space"):
        journal.drop(["dropped"])
    disk.bytes_left = 1_000_000
    journal.add(EventOrigin("t"), CostEvent(event_id="after"))
    journal.close()
    again = CostJournal(tmp_path / "j")
    # The dropped event is sent once more; the ledger ignores an id that it has.
    assert ids(again) == ["kept", "dropped", "after"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j", "j.lock"]
    again.close()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=30), st.integers(0, 200))
def test_file_cut_at_any_byte_yields_its_complete_lines(tmp_path_factory, steps, torn):
    path = tmp_path_factory.mktemp("journal") / "j"
    journal = CostJournal(path, bytes_max=300)
    for number, (drop, which) in enumerate(steps):
        if drop:
            journal.drop([str(which)])
        else:
            journal.add(EventOrigin("t"), CostEvent(event_id=str(which), cost_micro_usd=number))
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - torn)])
    lines = path.read_bytes().split(b"\n")[:-1]
    again = CostJournal(path)
    expected: list[str] = []
    for line in lines:
        entry = json.loads(line)
        for dropped in entry.get("settled", [entry.get("id")]):
            if dropped in expected and "settled" in entry:
                expected.remove(dropped)
        if "event" in entry and entry["id"] not in expected:
            expected.append(entry["id"])
    assert ids(again) == expected
    again.close()
