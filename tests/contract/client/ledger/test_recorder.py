"""CostRecorder records each event exactly once in the ledger of its tenant, or reports it as lost."""

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
from hocket.client.ledger import CostRecorder
from tests.fakes.waiting import until

SECRET = "a-secret-of-32-bytes-for-tests-only!"
MINTER = TokenMinter(SECRET)
ACME = MINTER.mint("acme", caller="test")
OTHER = MINTER.mint("other", caller="test")


class FakeLedger(ledger_pb2_grpc.LedgerServiceServicer):
    """Stores event ids by tenant. The first `failures` calls fail: before storing, or after it with `loses_answers`."""

    def __init__(self) -> None:
        self.ids: list[tuple[str, str]] = []
        self.calls: list[tuple[str, int]] = []
        self.failures = 0
        self.loses_answers = False

    async def RecordCosts(self, request, context):
        self.calls.append((identity.current().tenant_id, len(request.events)))
        if self.failures and not self.loses_answers:
            self.failures -= 1
            raise errors.Unavailable("unavailable")
        for number, event in enumerate(request.events):
            if event.model == "bad":
                raise errors.invalid_field(f"events[{number}].model", "is bad")
        known = set(self.ids)
        new = [(identity.current().tenant_id, event.event_id) for event in request.events]
        self.ids += [one for one in new if one not in known]
        if self.failures:
            self.failures -= 1
            raise errors.Unavailable("the response is lost")
        return ledger_pb2.RecordCostsResponse(recorded=len(new))

    async def GetCosts(self, request, context):
        raise errors.Unimplemented("not here")


@asynccontextmanager
async def serving(ledger: FakeLedger, port: int = 0):
    servicer = Servicer("ledger", lambda s: ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledger, s))
    settings = ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2, grpc_port=port)
    server = MeshServer("ledger_test", settings, Assembly([servicer]))
    await server.start()
    try:
        yield f"127.0.0.1:{server.grpc_port}"
    finally:
        await server.stop()


def recorder(target: str | None, **options) -> CostRecorder:
    return CostRecorder(target, **{"linger_s": 0.01, "retry_min_s": 0.01, "retry_max_s": 0.05, **options})


async def test_each_event_is_recorded_with_its_own_tenants_token():
    ledger = FakeLedger()
    async with serving(ledger) as target, recorder(target) as costs:
        for _ in range(3):
            assert costs.record(ledger_pb2.CostEvent(), token=ACME)
            assert costs.record(ledger_pb2.CostEvent(), token=OTHER)
        await until(lambda: costs.recorded == 6)
    assert sorted(tenant for tenant, _ in ledger.ids) == ["acme"] * 3 + ["other"] * 3
    assert len({event_id for _, event_id in ledger.ids}) == 6
    assert sorted(ledger.calls) == [("acme", 3), ("other", 3)]


async def test_recording_uses_the_token_of_the_rpc_and_not_its_deadline():
    ledger = FakeLedger()
    async with serving(ledger) as target:
        costs = recorder(target)
        identity.bind(identity.Identity("acme", "standard", "test", token=ACME))
        deadline.bind(0.0)
        costs.record(ledger_pb2.CostEvent())
        await until(lambda: costs.recorded == 1)
        await costs.close()
    identity.bind(None)
    deadline.bind(None)
    assert ledger.ids[0][0] == "acme"


@pytest.mark.parametrize("loses_answers", [False, True])
async def test_failed_batches_are_retried_with_the_same_event_ids(loses_answers):
    ledger = FakeLedger()
    ledger.failures, ledger.loses_answers = 4, loses_answers
    async with serving(ledger) as target, recorder(target) as costs:
        costs.record(ledger_pb2.CostEvent(event_id="fixed"), token=ACME)
        await until(lambda: costs.recorded == 1)
    assert ledger.ids == [("acme", "fixed")]
    assert (costs.pending, costs.lost, len(ledger.calls)) == (0, 0, 5)


async def test_close_records_queued_events():
    ledger = FakeLedger()
    async with serving(ledger) as target:
        async with recorder(target, linger_s=30) as costs:
            for _ in range(1200):
                costs.record(ledger_pb2.CostEvent(), token=ACME)
        assert (costs.recorded, len(ledger.ids), costs.pending) == (1200, 1200, 0)
    assert [size for _, size in ledger.calls] == [500, 500, 200]


async def test_one_malformed_event_does_not_block_its_batch():
    ledger = FakeLedger()
    async with serving(ledger) as target:
        with structlog.testing.capture_logs() as logs:
            async with recorder(target) as costs:
                for number in range(20):
                    costs.record(ledger_pb2.CostEvent(model="bad" if number == 13 else "good"), token=ACME)
        assert (costs.recorded, costs.lost) == (19, 1)
    lost = [entry for entry in logs if entry["event"] == "cost event lost"]
    assert [ledger_pb2.CostEvent.FromString(bytes.fromhex(entry["event_hex"])).model for entry in lost] == ["bad"]


async def test_refused_token_does_not_delay_other_tenants():
    ledger = FakeLedger()
    async with serving(ledger) as target, recorder(target) as costs:
        costs.record(ledger_pb2.CostEvent(), token=MINTER.mint("acme", caller="test", ttl_s=-60))
        costs.record(ledger_pb2.CostEvent(), token=OTHER)
        await until(lambda: costs.recorded == 1)
        assert (costs.pending, costs.lost) == (1, 0)
    assert (costs.recorded, costs.lost) == (1, 1)


async def test_events_with_a_refused_token_stay_in_the_journal(tmp_path):
    ledger = FakeLedger()
    expired = MINTER.mint("acme", caller="test", ttl_s=-60)
    async with serving(ledger) as target:
        async with recorder(target, journal_file=tmp_path / "costs") as costs:
            identity.bind(identity.Identity("acme", "free", "test", token=expired))
            costs.record(ledger_pb2.CostEvent(event_id="kept"))
            identity.bind(None)
            await until(lambda: bool(costs._parked))
        assert costs.lost == 0
        async with recorder(target, journal_file=tmp_path / "costs", minter=MINTER) as costs:
            await until(lambda: costs.recorded == 1)
    assert ledger.ids == [("acme", "kept")]


async def test_parked_events_are_retried(monkeypatch):
    ledger = FakeLedger()
    async with serving(ledger) as target, recorder(target, refused_retry_s=0.05) as costs:
        key = "another key of 32 bytes for tests!!!"
        stale = TokenMinter(key).mint("acme", caller="test")
        costs.record(ledger_pb2.CostEvent(event_id="late"), token=stale)
        await until(lambda: bool(costs._parked))
        # As if the key had become known to the service.
        monkeypatch.setattr(costs._tokens, "token_for", lambda _: ACME)
        await until(lambda: costs.recorded == 1)
    assert ledger.ids == [("acme", "late")]
    assert costs.lost == 0


async def test_minter_records_events_of_expired_tokens(tmp_path):
    ledger = FakeLedger()
    expired = MINTER.mint("acme", caller="test", ttl_s=-60)
    async with serving(ledger) as target:
        async with recorder(target, minter=MINTER, journal_file=tmp_path / "costs") as costs:
            for tenant in ("acme", "other", "acme"):
                identity.bind(identity.Identity(tenant, "free", "test", token=expired))
                costs.record(ledger_pb2.CostEvent())
            identity.bind(None)
            await until(lambda: costs.recorded == 3)
    assert sorted(ledger.calls) == [("acme", 2), ("other", 1)]


@asynccontextmanager
async def bind_caller(tenant_id: str, token: str):
    identity.bind(identity.Identity(tenant_id, "standard", "test", token=token))
    try:
        yield
    finally:
        identity.bind(None)


async def test_without_a_minter_parked_events_use_the_tenants_next_token(tmp_path):
    ledger, expired = FakeLedger(), MINTER.mint("acme", caller="test", ttl_s=-60)
    async with serving(ledger) as target:
        costs = recorder(target, journal_file=tmp_path / "journal", refused_retry_s=0.05)
        async with bind_caller("acme", expired):
            costs.record(ledger_pb2.CostEvent(event_id="late"))
        await until(lambda: bool(costs._parked))
        async with bind_caller("other", OTHER):
            costs.record(ledger_pb2.CostEvent(event_id="unrelated"))
        await until(lambda: costs.recorded == 1)
        async with bind_caller("acme", ACME):
            costs.record(ledger_pb2.CostEvent(event_id="next"))
        # A stream with an expired token uses the newer token and does not replace it.
        async with bind_caller("acme", expired):
            costs.record(ledger_pb2.CostEvent(event_id="later"))
        await until(lambda: costs.recorded == 4)
        await costs.close()
    assert sorted(ledger.ids) == [("acme", "late"), ("acme", "later"), ("acme", "next"), ("other", "unrelated")]


async def test_refused_token_is_replaced_by_the_tenants_next_one():
    withdrawn = TokenMinter("another-secret-of-32-bytes-for-tests").mint("acme", caller="test", ttl_s=86_400)
    ledger = FakeLedger()
    async with serving(ledger) as target:
        costs = recorder(target, refused_retry_s=0.05)
        for number, token in enumerate((withdrawn, ACME, ACME)):
            async with bind_caller("acme", token):
                costs.record(ledger_pb2.CostEvent(event_id=str(number)))
            # The first is refused and parked until the next token shows.
            await until(lambda: costs._parked or costs.recorded)
        await until(lambda: costs.recorded == 3)
        await costs.close()
    assert (len(ledger.ids), costs.lost) == (3, 0)


async def test_events_left_when_the_drain_ends_are_lost():
    async with serving(FakeLedger()) as target:
        pass
    costs = recorder(target, drain_s=0.2)
    costs.record(ledger_pb2.CostEvent(), token=ACME)
    costs.record(ledger_pb2.CostEvent(), token=ACME)
    await costs.close()
    assert (costs.recorded, costs.lost, costs.pending) == (0, 2, 0)
    assert not costs.record(ledger_pb2.CostEvent(), token=ACME)


async def test_queue_is_bounded():
    async with serving(FakeLedger()) as target:
        costs = recorder(target, events_max=2, linger_s=5)
        assert [costs.record(ledger_pb2.CostEvent(), token=ACME) for _ in range(3)] == [True, True, False]
        await costs.close()
    assert (costs.recorded, costs.lost) == (2, 1)


async def test_without_a_target_nothing_is_recorded_and_one_warning_is_logged():
    with structlog.testing.capture_logs() as logs:
        async with recorder(None) as costs:
            assert not costs.record(ledger_pb2.CostEvent())
            assert not costs.record(ledger_pb2.CostEvent())
    assert [entry["event"] for entry in logs] == ["costs are not recorded: no ratelimit target is set"]


async def test_recorder_reconnects_after_an_outage():
    ledger = FakeLedger()
    async with serving(ledger) as target:
        pass
    async with recorder(target) as costs:
        costs.record(ledger_pb2.CostEvent(), token=ACME)
        await asyncio.sleep(0.1)
        async with serving(ledger, port=int(target.rpartition(":")[2])):
            await until(lambda: costs.recorded == 1)
    assert len(ledger.ids) == 1


async def test_events_of_a_killed_process_are_recorded_by_the_next(tmp_path):
    """The process kills itself with SIGKILL right after record()."""
    journal = tmp_path / "costs"
    program = """
import asyncio, os, signal, sys
from pathlib import Path
from hocket.ratelimit.v1 import ledger_pb2
from hocket.client.ledger import CostRecorder
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
    ledger = FakeLedger()
    async with serving(ledger) as target:
        async with recorder(target, journal_file=journal) as costs:
            await until(lambda: costs.recorded == 50)
        async with recorder(target, journal_file=journal) as again:
            assert again.pending == 0
    assert ledger.ids == [("acme", str(number)) for number in range(50)]


async def test_events_left_when_the_drain_ends_stay_in_the_journal(tmp_path):
    ledger = FakeLedger()
    async with serving(ledger) as target:
        pass
    costs = recorder(target, drain_s=0.1, journal_file=tmp_path / "costs")
    costs.record(ledger_pb2.CostEvent(event_id="kept"), token=ACME)
    await costs.close()
    assert costs.lost == 0
    async with serving(ledger, port=int(target.rpartition(":")[2])):
        async with recorder(target, journal_file=tmp_path / "costs") as costs:
            await until(lambda: costs.recorded == 1)
    assert ledger.ids == [("acme", "kept")]


async def test_failing_journal_does_not_block_recording_and_logs_no_token(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    ledger = FakeLedger()
    async with serving(ledger) as target, recorder(target, journal_file=tmp_path / "costs") as costs:
        monkeypatch.setattr("hocket.client.ledger.journal.os.write", full)
        with structlog.testing.capture_logs() as logs:
            assert costs.record(ledger_pb2.CostEvent(event_id="a"), token=ACME)
            await until(lambda: costs.recorded == 1)
            # One warning for add, one for drop.
            await until(lambda: len(logs) == 2)
        monkeypatch.undo()
    assert ledger.ids == [("acme", "a")]
    assert not any("exc_info" in entry or ACME in str(entry) for entry in logs)
