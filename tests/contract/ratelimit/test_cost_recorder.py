"""Costs recorded behind the caller's back reach the book exactly once, or are named as lost."""

from __future__ import annotations

import asyncio
import errno
import sys
from contextlib import asynccontextmanager

import pytest
import structlog
from hocket.ratelimit.v1 import ledger_pb2, ledger_pb2_grpc

from hocket.chassis import deadline, errors, identity
from hocket.chassis.auth import TokenMinter
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.client.ratelimit import CostRecorder
from tests.fakes.waiting import until

SECRET = "a-secret-of-32-bytes-for-tests-only!"
MINTER = TokenMinter(SECRET)
ACME = MINTER.mint("acme", caller="test")
OTHER = MINTER.mint("other", caller="test")


class Book(ledger_pb2_grpc.LedgerServiceServicer):
    """Keeps event ids by tenant; fails first as often as told, after booking where `loses_answers`."""

    def __init__(self) -> None:
        self.ids: list[tuple[str, str]] = []
        self.calls: list[tuple[str, int]] = []
        self.failures = 0
        self.loses_answers = False

    async def RecordCosts(self, request, context):
        self.calls.append((identity.current().tenant_id, len(request.events)))
        if self.failures and not self.loses_answers:
            self.failures -= 1
            raise errors.Unavailable("gone")
        for number, event in enumerate(request.events):
            if event.model == "bad":
                raise errors.invalid_field(f"events[{number}].model", "is bad")
        known = set(self.ids)
        new = [(identity.current().tenant_id, event.event_id) for event in request.events]
        self.ids += [one for one in new if one not in known]
        if self.failures:
            self.failures -= 1
            raise errors.Unavailable("the answer is lost")
        return ledger_pb2.RecordCostsResponse(recorded=len(new))

    async def GetCosts(self, request, context):
        raise errors.Unimplemented("not here")


@asynccontextmanager
async def serving(book: Book, port: int = 0):
    servicer = Servicer("ledger", lambda s: ledger_pb2_grpc.add_LedgerServiceServicer_to_server(book, s))
    settings = ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2, grpc_port=port)
    server = MeshServer("ledger_test", settings, Assembly([servicer]))
    await server.start()
    try:
        yield f"127.0.0.1:{server.grpc_port}"
    finally:
        await server.stop()


def recorder(target: str | None, **options) -> CostRecorder:
    return CostRecorder(target, **{"linger_s": 0.01, "retry_min_s": 0.01, "retry_max_s": 0.05, **options})


async def test_each_event_is_booked_with_the_token_of_its_own_tenant():
    book = Book()
    async with serving(book) as target, recorder(target) as costs:
        for _ in range(3):
            assert costs.record(ledger_pb2.CostEvent(), token=ACME)
            assert costs.record(ledger_pb2.CostEvent(), token=OTHER)
        await until(lambda: costs.booked == 6)
    assert sorted(tenant for tenant, _ in book.ids) == ["acme"] * 3 + ["other"] * 3
    assert len({event_id for _, event_id in book.ids}) == 6
    assert sorted(book.calls) == [("acme", 3), ("other", 3)]


async def test_the_token_of_the_rpc_being_served_is_taken_and_its_deadline_is_not():
    book = Book()
    async with serving(book) as target:
        costs = recorder(target)
        identity.bind(identity.Identity("acme", "standard", "test", token=ACME))
        deadline.bind(0.0)
        costs.record(ledger_pb2.CostEvent())
        await until(lambda: costs.booked == 1)
        await costs.close()
    identity.bind(None)
    deadline.bind(None)
    assert book.ids[0][0] == "acme"


@pytest.mark.parametrize("loses_answers", [False, True])
async def test_failures_are_retried_with_the_same_ids_until_booked(loses_answers):
    book = Book()
    book.failures, book.loses_answers = 4, loses_answers
    async with serving(book) as target, recorder(target) as costs:
        costs.record(ledger_pb2.CostEvent(event_id="fixed"), token=ACME)
        await until(lambda: costs.booked == 1)
    assert book.ids == [("acme", "fixed")]
    assert (costs.pending, costs.lost, len(book.calls)) == (0, 0, 5)


async def test_closing_books_what_is_queued():
    book = Book()
    async with serving(book) as target:
        async with recorder(target, linger_s=30) as costs:
            for _ in range(1200):
                costs.record(ledger_pb2.CostEvent(), token=ACME)
        assert (costs.booked, len(book.ids), costs.pending) == (1200, 1200, 0)
    assert [size for _, size in book.calls] == [500, 500, 200]


async def test_one_refused_event_does_not_take_the_others_with_it():
    book = Book()
    async with serving(book) as target:
        with structlog.testing.capture_logs() as logs:
            async with recorder(target) as costs:
                for number in range(20):
                    costs.record(ledger_pb2.CostEvent(model="bad" if number == 13 else "good"), token=ACME)
        assert (costs.booked, costs.lost) == (19, 1)
    lost = [entry for entry in logs if entry["event"] == "cost event lost"]
    assert [ledger_pb2.CostEvent.FromString(bytes.fromhex(entry["event_hex"])).model for entry in lost] == ["bad"]


async def test_events_whose_token_is_refused_hold_nobody_up_and_are_named_as_lost_at_the_end():
    book = Book()
    async with serving(book) as target, recorder(target) as costs:
        costs.record(ledger_pb2.CostEvent(), token=MINTER.mint("acme", caller="test", ttl_s=-60))
        costs.record(ledger_pb2.CostEvent(), token=OTHER)
        await until(lambda: costs.booked == 1)
        assert (costs.pending, costs.lost) == (1, 0)
    assert (costs.booked, costs.lost) == (1, 1)


async def test_events_whose_token_is_refused_wait_in_the_journal_for_a_process_that_can_book_them(tmp_path):
    book = Book()
    expired = MINTER.mint("acme", caller="test", ttl_s=-60)
    async with serving(book) as target:
        async with recorder(target, journal_file=tmp_path / "costs") as costs:
            identity.bind(identity.Identity("acme", "free", "test", token=expired))
            costs.record(ledger_pb2.CostEvent(event_id="kept"))
            identity.bind(None)
            await until(lambda: bool(costs._aside))
        assert costs.lost == 0
        async with recorder(target, journal_file=tmp_path / "costs", minter=MINTER) as costs:
            await until(lambda: costs.booked == 1)
    assert book.ids == [("acme", "kept")]


async def test_events_that_were_refused_are_tried_again(monkeypatch):
    book = Book()
    async with serving(book) as target, recorder(target, refused_retry_s=0.05) as costs:
        key = "another key of 32 bytes for tests!!!"
        stale = TokenMinter(key).mint("acme", caller="test")
        costs.record(ledger_pb2.CostEvent(event_id="late"), token=stale)
        await until(lambda: bool(costs._aside))
        # The service learns the key.
        monkeypatch.setattr(costs, "_token_of", lambda _: ACME)
        await until(lambda: costs.booked == 1)
    assert book.ids == [("acme", "late")]
    assert costs.lost == 0


async def test_with_a_minter_a_stream_may_outlive_its_token(tmp_path):
    book = Book()
    expired = MINTER.mint("acme", caller="test", ttl_s=-60)
    async with serving(book) as target:
        async with recorder(target, minter=MINTER, journal_file=tmp_path / "costs") as costs:
            for tenant in ("acme", "other", "acme"):
                identity.bind(identity.Identity(tenant, "free", "test", token=expired))
                costs.record(ledger_pb2.CostEvent())
            identity.bind(None)
            await until(lambda: costs.booked == 3)
    assert sorted(book.calls) == [("acme", 2), ("other", 1)]


@asynccontextmanager
async def calling(tenant_id: str, token: str):
    identity.bind(identity.Identity(tenant_id, "standard", "test", token=token))
    try:
        yield
    finally:
        identity.bind(None)


async def test_without_a_minter_what_had_to_wait_is_booked_when_its_tenant_calls_again(tmp_path):
    book, expired = Book(), MINTER.mint("acme", caller="test", ttl_s=-60)
    async with serving(book) as target:
        costs = recorder(target, journal_file=tmp_path / "journal", refused_retry_s=0.05)
        async with calling("acme", expired):
            costs.record(ledger_pb2.CostEvent(event_id="late"))
        await until(lambda: bool(costs._aside))
        async with calling("other", OTHER):
            costs.record(ledger_pb2.CostEvent(event_id="not-for-this-one"))
        await until(lambda: costs.booked == 1)
        async with calling("acme", ACME):
            costs.record(ledger_pb2.CostEvent(event_id="next"))
        # A stream that has outlived its token takes the newer one with it and does not replace it.
        async with calling("acme", expired):
            costs.record(ledger_pb2.CostEvent(event_id="later"))
        await until(lambda: costs.booked == 4)
        await costs.close()
    assert sorted(book.ids) == [("acme", "late"), ("acme", "later"), ("acme", "next"), ("other", "not-for-this-one")]


async def test_a_token_that_is_refused_gives_way_to_the_next_that_its_tenant_shows():
    withdrawn = TokenMinter("another-secret-of-32-bytes-for-tests").mint("acme", caller="test", ttl_s=86_400)
    book = Book()
    async with serving(book) as target:
        costs = recorder(target, refused_retry_s=0.05)
        for number, token in enumerate((withdrawn, ACME, ACME)):
            async with calling("acme", token):
                costs.record(ledger_pb2.CostEvent(event_id=str(number)))
            await asyncio.sleep(0.1)
        await until(lambda: costs.booked == 3)
        await costs.close()
    assert (len(book.ids), costs.lost) == (3, 0)


async def test_what_no_service_takes_is_named_as_lost_when_the_drain_ends():
    async with serving(Book()) as target:
        pass
    costs = recorder(target, drain_s=0.2)
    costs.record(ledger_pb2.CostEvent(), token=ACME)
    costs.record(ledger_pb2.CostEvent(), token=ACME)
    await costs.close()
    assert (costs.booked, costs.lost, costs.pending) == (0, 2, 0)
    assert not costs.record(ledger_pb2.CostEvent(), token=ACME)


async def test_the_queue_is_bounded():
    async with serving(Book()) as target:
        costs = recorder(target, events_max=2, linger_s=5)
        assert [costs.record(ledger_pb2.CostEvent(), token=ACME) for _ in range(3)] == [True, True, False]
        await costs.close()
    assert (costs.booked, costs.lost) == (2, 1)


async def test_without_a_target_nothing_is_booked_and_it_is_said_once():
    with structlog.testing.capture_logs() as logs:
        async with recorder(None) as costs:
            assert not costs.record(ledger_pb2.CostEvent())
            assert not costs.record(ledger_pb2.CostEvent())
    assert [entry["event"] for entry in logs] == ["costs are not booked: no ratelimit target is set"]


async def test_a_service_that_comes_back_is_found_again():
    book = Book()
    async with serving(book) as target:
        pass
    async with recorder(target) as costs:
        costs.record(ledger_pb2.CostEvent(), token=ACME)
        await asyncio.sleep(0.1)
        async with serving(book, port=int(target.rpartition(":")[2])):
            await until(lambda: costs.booked == 1)
    assert len(book.ids) == 1


async def test_events_of_a_killed_process_are_booked_by_the_next_start(tmp_path):
    """Killed for real, with SIGKILL, right after recording."""
    journal = tmp_path / "costs"
    program = """
import asyncio, os, signal, sys
from pathlib import Path
from hocket.ratelimit.v1 import ledger_pb2
from hocket.client.ratelimit import CostRecorder
async def main():
    costs = CostRecorder("127.0.0.1:1", journal_file=Path(sys.argv[1]))
    for number in range(50):
        costs.record(ledger_pb2.CostEvent(event_id=str(number)), token=sys.argv[2])
    await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(journal), ACME)
    assert await process.wait() == -9
    assert journal.stat().st_mode & 0o077 == 0
    book = Book()
    async with serving(book) as target:
        async with recorder(target, journal_file=journal) as costs:
            await until(lambda: costs.booked == 50)
        async with recorder(target, journal_file=journal) as again:
            assert again.pending == 0
    assert book.ids == [("acme", str(number)) for number in range(50)]


async def test_what_is_left_when_the_drain_ends_waits_in_the_journal(tmp_path):
    book = Book()
    async with serving(book) as target:
        pass
    costs = recorder(target, drain_s=0.1, journal_file=tmp_path / "costs")
    costs.record(ledger_pb2.CostEvent(event_id="kept"), token=ACME)
    await costs.close()
    assert costs.lost == 0
    async with serving(book, port=int(target.rpartition(":")[2])):
        async with recorder(target, journal_file=tmp_path / "costs") as costs:
            await until(lambda: costs.booked == 1)
    assert book.ids == [("acme", "kept")]


async def test_a_journal_that_takes_nothing_holds_up_no_booking_and_names_no_token(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    book = Book()
    async with serving(book) as target, recorder(target, journal_file=tmp_path / "costs") as costs:
        monkeypatch.setattr("hocket.client.cost_journal.os.write", full)
        with structlog.testing.capture_logs() as logs:
            assert costs.record(ledger_pb2.CostEvent(event_id="a"), token=ACME)
            await until(lambda: costs.booked == 1)
            # Once it was not journalled, once its settling was not.
            await until(lambda: len(logs) == 2)
        monkeypatch.undo()
    assert book.ids == [("acme", "a")]
    assert not any("exc_info" in entry or ACME in str(entry) for entry in logs)
