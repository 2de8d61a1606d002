"""The supervisor with real processes: start order, restart, stop, and cleanup after a SIGKILL."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from local.data_folder import DataFolder
from local.errors import LocalError
from local.processes import orphans, watcher
from local.processes.process_keeper import Backoff
from local.processes.process_spec import ProcessSpec
from local.processes.supervisor import Supervisor
from tests.fakes.waiting import DEADLINE_S

SLEEPER = "import time, sys; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
SLOW_START = """
import time
for step in range(20):
    print(step, flush=True)
    time.sleep(0.2)
print('up', flush=True)
time.sleep(600)
"""
WITH_CHILD = (
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print('up', child.pid, flush=True); time.sleep(600)"
)


class Processes:
    """Creates process specs that are ready when their log contains "up"."""

    def __init__(self, folder):
        self.folder = folder

    def spec(self, name, code=SLEEPER, **values):
        async def ready():
            log = self.folder / f"{name}.log"
            return log.exists() and "up" in log.read_text()

        return ProcessSpec(name=name, argv=(sys.executable, "-c", code), env=dict(os.environ), probe=ready, **values)

    def supervisor(self, *specs, **values):
        return Supervisor(specs, self.folder, backoff=Backoff(initial_s=0.01, max_s=0.05), **values)


@pytest.fixture
def processes(tmp_path):
    return Processes(tmp_path)


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_there(path):
    return path.exists()


async def wait_for_exit(*pids, within_s=120):
    async with asyncio.timeout(within_s):
        while any(runs(pid) for pid in pids):  # noqa: ASYNC110 - no event exists for a process that is not our child
            await asyncio.sleep(0.02)


async def test_dependencies_are_ready_first(processes):
    reported = []
    supervisor = processes.supervisor(
        processes.spec("gateway", depends_on=("ledger", "store")),
        processes.spec("ledger", depends_on=("store",)),
        processes.spec("store"),
        progress=reported.append,
    )
    await supervisor.start()
    await supervisor.stop()
    assert [line.split()[0] for line in reported] == ["store", "ledger", "gateway"]


async def test_step_before_the_first_start_runs_once_after_the_dependencies(processes):
    steps = []

    async def migrate() -> None:
        steps.append(supervisor.keeper("store").started.is_set())

    service = processes.spec("service", depends_on=("store",), before_start=migrate)
    supervisor = processes.supervisor(processes.spec("store"), service)
    await supervisor.start()
    await supervisor.keeper("service").restart()
    await supervisor.stop()
    assert steps == [True]


async def test_failed_step_before_the_start_fails_the_start(processes):
    async def migrate() -> None:
        raise LocalError("cannot migrate the schema of service: why")

    supervisor = processes.supervisor(processes.spec("service", before_start=migrate))
    with pytest.raises(LocalError, match="cannot migrate the schema"):
        await supervisor.start()
    assert supervisor.keeper("service").pid is None
    await supervisor.stop()


async def test_crashed_process_and_its_children_are_replaced(processes):
    supervisor = processes.supervisor(processes.spec("service", WITH_CHILD))
    await supervisor.start()
    keeper = supervisor.keeper("service")
    first, child = keeper.pid, int((processes.folder / "service.log").read_text().split()[1])
    keeper.kill(signal.SIGKILL, restart=True)
    await wait_for_exit(first, child)
    await supervisor.wait_ready(["service"], 120)
    assert keeper.pid not in {None, first}
    await supervisor.stop()


async def test_children_of_an_exited_process_are_killed(processes):
    code = WITH_CHILD.removesuffix("time.sleep(600)") + "sys.exit(3)"
    supervisor = processes.supervisor(processes.spec("service", code))
    # The process can be ready before it exits.
    with suppress(LocalError):
        await supervisor.start()
    child = int((processes.folder / "service.log").read_text().split()[1])
    await wait_for_exit(child)
    await supervisor.stop()


async def test_killed_process_stays_down_until_restart(processes):
    supervisor = processes.supervisor(processes.spec("service"))
    await supervisor.start()
    keeper = supervisor.keeper("service")
    first = keeper.pid
    keeper.kill(signal.SIGKILL, restart=False)
    await wait_for_exit(first)
    await asyncio.sleep(0.2)  # many times the backoff
    assert keeper.pid is None
    await keeper.restart()
    assert keeper.pid not in {None, first}
    await supervisor.stop()


async def test_process_that_ignores_sigterm_is_killed_after_the_grace_period(processes):
    supervisor = processes.supervisor(processes.spec("service", STUBBORN, stop_grace_s=0.1))
    await supervisor.start()
    pid = supervisor.keeper("service").pid
    await supervisor.stop()
    assert not psutil.pid_exists(pid)
    assert "did not stop within" in (processes.folder / "service.log").read_text()


async def test_failed_start_names_the_reason_and_leaves_nothing_running(processes):
    supervisor = processes.supervisor(
        processes.spec("store"), processes.spec("service", "raise SystemExit('port 1 is taken')")
    )
    with pytest.raises(LocalError, match=r"service exited \(exit code 1\) before it was ready: port 1 is taken"):
        await supervisor.start()
    await supervisor.stop()
    assert not supervisor.pids()


async def test_start_without_progress_times_out(processes):
    code = "import time; print('thinking', flush=True); time.sleep(600)"
    supervisor = processes.supervisor(processes.spec("service", code, stall_timeout_s=1))
    with pytest.raises(LocalError, match="service used no CPU and wrote nothing for 1 s: thinking"):
        await supervisor.start()
    await supervisor.stop()


async def test_start_times_out_at_the_total_limit(processes):
    code = "print('thinking', flush=True)\nwhile True: pass"
    supervisor = processes.supervisor(processes.spec("service", code, ready_timeout_s=3))
    with pytest.raises(LocalError, match="service was not ready within 3 s: thinking"):
        await supervisor.start()
    await supervisor.stop()


async def test_slow_start_with_progress_succeeds(processes):
    supervisor = processes.supervisor(processes.spec("service", SLOW_START, stall_timeout_s=60))
    await supervisor.start()
    assert supervisor.keeper("service").ready.is_set()
    await supervisor.stop()


async def test_missing_program_is_named(processes):
    async def never():
        return False

    supervisor = processes.supervisor(ProcessSpec("service", ("/no/such/program",), {}, never))
    with pytest.raises(LocalError, match="cannot start service.*No such file"):
        await supervisor.start()
    await supervisor.stop()


OWNER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from local.mesh import Mesh

    async def main():
        async with Mesh.start(Path(sys.argv[1]), services=(), servers=("redis", "postgres")) as mesh:
            print(*(mesh.pid(name) for name in mesh.names()), flush=True)
            await asyncio.sleep(600)

    asyncio.run(main())
    """
)


async def start_owner(data_dir):
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(data_dir), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    pids = [int(pid) for pid in (await asyncio.wait_for(owner.stdout.readline(), DEADLINE_S)).split()]
    if not pids:
        raise AssertionError((await owner.stderr.read()).decode())
    return owner, pids


async def test_watcher_stops_everything_after_the_mesh_is_killed(tmp_path):
    owner, pids = await start_owner(tmp_path / "data")
    watchers = [p.pid for p in psutil.Process(owner.pid).children() if p.pid not in pids]
    scratch = Path(DataFolder(tmp_path / "data").read_state()["scratch"])
    (scratch / "a service's").touch()
    owner.kill()
    await owner.wait()
    await wait_for_exit(*pids, *watchers)
    assert not is_there(scratch)
    # The next mesh can use the folder at once, with an intact cluster.
    again, pids = await start_owner(tmp_path / "data")
    again.terminate()
    await again.wait()
    await wait_for_exit(*pids)


async def test_next_start_stops_orphans_of_a_killed_watcher(tmp_path):
    owner, pids = await start_owner(tmp_path / "data")
    for child in psutil.Process(owner.pid).children():
        if child.pid not in pids:
            child.kill()
    owner.kill()
    await owner.wait()
    assert all(psutil.pid_exists(pid) for pid in pids)
    again, new_pids = await start_owner(tmp_path / "data")
    await wait_for_exit(*pids)
    again.kill()
    await again.wait()
    await wait_for_exit(*new_pids)


async def test_one_mesh_per_folder(tmp_path):
    owner, pids = await start_owner(tmp_path / "one")
    second = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(tmp_path / "one"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, reported = await second.communicate()
    assert "a mesh already runs in" in reported.decode().splitlines()[-1]
    beside, more = await start_owner(tmp_path / "two")
    for process in (owner, beside):
        process.kill()
        await process.wait()
    await wait_for_exit(*pids, *more)


async def test_crash_is_reported_and_the_previous_log_is_kept(processes):
    reported = []
    (processes.folder / "service.log").write_text("previous run\n")
    supervisor = processes.supervisor(processes.spec("service"), progress=reported.append)
    await supervisor.start()
    supervisor.keeper("service").kill(signal.SIGKILL, restart=True)
    async with asyncio.timeout(DEADLINE_S):
        while len(reported) < 2:  # noqa: ASYNC110 - progress has no event
            await asyncio.sleep(0.01)
    await supervisor.stop()
    assert reported[1] == "service exited (signal SIGKILL); restarting in 0.0 s"
    assert (processes.folder / "service.log.1").read_text() == "previous run\n"


@pytest.fixture
def stubborn():
    """A process in its own session that ignores SIGTERM."""
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True)
    with process:
        process.stdout.readline()
        yield process
        process.kill()


def test_watcher_kills_groups_that_ignore_their_stop_signal(stubborn, monkeypatch):
    monkeypatch.setattr(watcher, "_GRACE_S_MAX", 0.1)
    watcher.stop_groups({stubborn.pid: signal.SIGTERM})
    assert stubborn.wait(120) == -signal.SIGKILL


async def test_orphan_in_a_record_from_before_an_upgrade_is_killed(tmp_path, stubborn, monkeypatch):
    monkeypatch.setattr(orphans, "_GRACE_S", 0.1)
    (record,) = orphans.process_records({"rag": stubborn.pid})
    old = {"name": record["name"], "pid": record["pid"], "born_at_s": record["created_at_s"]}
    with DataFolder(tmp_path / "data").open() as folder:
        folder.write_state({"processes": [old]})
        assert await orphans.end_orphans(folder) == ["rag"]
    assert stubborn.wait(120) == -signal.SIGKILL


async def test_reused_process_id_is_not_killed(tmp_path, stubborn):
    (record,) = orphans.process_records({"rag": stubborn.pid})
    with DataFolder(tmp_path / "data").open() as folder:
        folder.write_state(
            {"processes": [{**record, "created_at_s": record["created_at_s"] - 1}], "scratch": str(tmp_path)}
        )
        assert await orphans.end_orphans(folder) == []
    assert stubborn.poll() is None
    # A folder without the prefix of the mesh is not deleted.
    assert is_there(tmp_path)
