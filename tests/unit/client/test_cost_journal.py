"""The journal gives back what was added and not settled, whatever a crash left of its last line."""

from __future__ import annotations

import errno
import json
import os

import pytest
from hocket.ratelimit.v1.ledger_pb2 import CostEvent
from hypothesis import given
from hypothesis import strategies as st

from hocket.client.cost_journal import CostJournal, Origin


def ids(journal: CostJournal) -> list[str]:
    return [event.event_id for _, event in journal.pending()]


def test_token_and_event_come_back_in_order(tmp_path):
    journal = CostJournal(tmp_path / "j")
    first, second = CostEvent(event_id="a", cost_micro_usd=5, model="é\n"), CostEvent(event_id="b")
    journal.add(Origin("token-a", "acme", "free"), first)
    journal.add(Origin("token-b"), second)
    journal.close()
    again = CostJournal(tmp_path / "j")
    assert again.pending() == [(Origin("token-a", "acme", "free"), first), (Origin("token-b"), second)]
    again.settle(["a"])
    again.close()
    third = CostJournal(tmp_path / "j")
    assert ids(third) == ["b"]
    third.close()


def test_a_second_process_on_the_same_file_is_refused(tmp_path):
    journal = CostJournal(tmp_path / "j")
    with pytest.raises(OSError, match="another process"):
        CostJournal(tmp_path / "j")
    journal.close()
    CostJournal(tmp_path / "j").close()


def test_the_file_stays_small_and_private(tmp_path):
    journal = CostJournal(tmp_path / "j", bytes_max=2000)
    journal.add(Origin("t"), CostEvent(event_id="kept"))
    for number in range(200):
        journal.add(Origin("t"), CostEvent(event_id=str(number)))
        journal.settle([str(number)])
    assert (tmp_path / "j").stat().st_size < 2500
    assert (tmp_path / "j").stat().st_mode & 0o077 == 0
    assert ids(journal) == ["kept"]
    journal.close()


def test_a_long_queue_is_not_written_anew_with_each_batch(tmp_path, monkeypatch):
    journal = CostJournal(tmp_path / "j", bytes_max=2000)
    for number in range(100):
        journal.add(Origin("t"), CostEvent(event_id=str(number)))
    rewritten: list[int] = []
    rewrite = journal._rewrite
    monkeypatch.setattr(journal, "_rewrite", lambda: (rewritten.append(len(ids(journal))), rewrite()))
    for number in range(100):
        journal.settle([str(number)])
    # Each time half of it, and what it holds is right.
    assert len(rewritten) <= 7
    assert rewritten[0] >= 25
    assert ids(journal) == []
    assert (tmp_path / "j").stat().st_size <= 2100
    journal.close()


class FullDisk:
    """os.write with so many bytes left, and short writes before it says so."""

    def __init__(self, monkeypatch) -> None:
        self.bytes_left = 1_000_000
        self._write = os.write
        monkeypatch.setattr("hocket.client.cost_journal.os.write", self.write)

    def write(self, file: int, data) -> int:
        if self.bytes_left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(file, bytes(data)[: self.bytes_left])
        self.bytes_left -= written
        return written


def test_a_disk_that_was_full_for_a_while_costs_only_the_events_of_that_while(tmp_path, monkeypatch):
    disk = FullDisk(monkeypatch)
    journal = CostJournal(tmp_path / "j")
    journal.add(Origin("t"), CostEvent(event_id="before"))
    disk.bytes_left = 10
    with pytest.raises(OSError, match="No space"):
        journal.add(Origin("t"), CostEvent(event_id="meanwhile"))
    disk.bytes_left = 1_000_000
    journal.add(Origin("t"), CostEvent(event_id="after"))
    assert ids(journal) == ["before", "after"]
    journal.close()
    again = CostJournal(tmp_path / "j")
    assert ids(again) == ["before", "after"]
    again.close()


def test_a_disk_too_full_to_shrink_the_file_leaves_it_in_use(tmp_path, monkeypatch):
    disk = FullDisk(monkeypatch)
    journal = CostJournal(tmp_path / "j", bytes_max=100)
    journal.add(Origin("t" * 200), CostEvent(event_id="kept"))
    journal.add(Origin("t" * 200), CostEvent(event_id="settled"))
    disk.bytes_left = 10
    with pytest.raises(OSError, match="No space"):
        journal.settle(["settled"])
    disk.bytes_left = 1_000_000
    journal.add(Origin("t"), CostEvent(event_id="after"))
    journal.close()
    again = CostJournal(tmp_path / "j")
    # What was booked is sent once more, which the book knows.
    assert ids(again) == ["kept", "settled", "after"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j", "j.lock"]
    again.close()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=30), st.integers(0, 200))
def test_a_file_torn_anywhere_holds_what_its_whole_lines_say(tmp_path_factory, steps, torn):
    path = tmp_path_factory.mktemp("journal") / "j"
    journal = CostJournal(path, bytes_max=300)
    for number, (settle, which) in enumerate(steps):
        if settle:
            journal.settle([str(which)])
        else:
            journal.add(Origin("t"), CostEvent(event_id=str(which), cost_micro_usd=number))
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - torn)])
    lines = path.read_bytes().split(b"\n")[:-1]
    again = CostJournal(path)
    expected: list[str] = []
    for line in lines:
        entry = json.loads(line)
        for gone in entry.get("settled", [entry.get("id")]):
            if gone in expected and "settled" in entry:
                expected.remove(gone)
        if "event" in entry and entry["id"] not in expected:
            expected.append(entry["id"])
    assert ids(again) == expected
    again.close()
