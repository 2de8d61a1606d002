"""The supervisor over real processes: order, restart, stop, and what is left when it is killed itself."""

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


class Scene:
    """Specs whose readiness is a word in their log."""

    def __init__(self, folder):
        self.folder = folder

    def spec(self, name, code=SLEEPER, **values):
        async def ready():
            log = self.folder / f"{name}.log"
            return log.exists() and "up" in log.read_text()

        return ProcessSpec(name=name, argv=(sys.executable, "-c", code), env=dict(os.environ), ready=ready, **values)

    def supervisor(self, *specs, **values):
        return Supervisor(specs, self.folder, backoff=Backoff(first_s=0.01, last_s=0.05), **values)


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_there(path):
    return path.exists()


async def gone(*pids, within_s=120):
    async with asyncio.timeout(within_s):
        while any(runs(pid) for pid in pids):  # noqa: ASYNC110 - no event tells of a stranger's child
            await asyncio.sleep(0.02)


async def test_what_is_needed_is_ready_first(scene):
    said = []
    supervisor = scene.supervisor(
        scene.spec("gateway", needs=("ledger", "store")),
        scene.spec("ledger", needs=("store",)),
        scene.spec("store"),
        progress=said.append,
    )
    await supervisor.start()
    await supervisor.stop()
    assert [line.split()[0] for line in said] == ["store", "ledger", "gateway"]


async def test_a_crashed_process_and_its_children_are_replaced(scene):
    supervisor = scene.supervisor(scene.spec("service", WITH_CHILD))
    await supervisor.start()
    keeper = supervisor.keeper("service")
    first, child = keeper.pid, int((scene.folder / "service.log").read_text().split()[1])
    keeper.kill(signal.SIGKILL, restart=True)
    await gone(first, child)
    await supervisor.wait_ready(["service"], 120)
    assert keeper.pid not in {None, first}
    await supervisor.stop()


async def test_what_a_process_leaves_behind_when_it_ends_by_itself_goes_with_it(scene):
    code = WITH_CHILD.removesuffix("time.sleep(600)") + "sys.exit(3)"
    supervisor = scene.supervisor(scene.spec("service", code))
    # It may have said "up" before it ended.
    with suppress(LocalError):
        await supervisor.start()
    child = int((scene.folder / "service.log").read_text().split()[1])
    await gone(child)
    await supervisor.stop()


async def test_a_killed_process_stays_down_until_it_is_restarted(scene):
    supervisor = scene.supervisor(scene.spec("service"))
    await supervisor.start()
    keeper = supervisor.keeper("service")
    first = keeper.pid
    keeper.kill(signal.SIGKILL, restart=False)
    await gone(first)
    await asyncio.sleep(0.2)  # many times the backoff
    assert keeper.pid is None
    await keeper.restart()
    assert keeper.pid not in {None, first}
    await supervisor.stop()


async def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(scene):
    supervisor = scene.supervisor(scene.spec("service", STUBBORN, stop_grace_s=0.1))
    await supervisor.start()
    pid = supervisor.keeper("service").pid
    await supervisor.stop()
    assert not psutil.pid_exists(pid)
    assert "did not end within" in (scene.folder / "service.log").read_text()


async def test_a_failing_start_says_why_and_leaves_nothing_running(scene):
    supervisor = scene.supervisor(scene.spec("store"), scene.spec("service", "raise SystemExit('port 1 is taken')"))
    with pytest.raises(LocalError, match=r"service ended \(exit code 1\) before it was ready: port 1 is taken"):
        await supervisor.start()
    await supervisor.stop()
    assert not supervisor.pids()


async def test_a_start_without_progress_is_given_up_and_named(scene):
    code = "import time; print('thinking', flush=True); time.sleep(600)"
    supervisor = scene.supervisor(scene.spec("service", code, stall_timeout_s=1))
    with pytest.raises(LocalError, match="service used no CPU and wrote nothing for 1 s: thinking"):
        await supervisor.start()
    await supervisor.stop()


async def test_a_start_that_works_for_ever_is_given_up_at_the_limit(scene):
    code = "print('thinking', flush=True)\nwhile True: pass"
    supervisor = scene.supervisor(scene.spec("service", code, ready_timeout_s=3))
    with pytest.raises(LocalError, match="service was not ready within 3 s: thinking"):
        await supervisor.start()
    await supervisor.stop()


async def test_a_slow_start_that_makes_progress_is_waited_for(scene):
    supervisor = scene.supervisor(scene.spec("service", SLOW_START, stall_timeout_s=60))
    await supervisor.start()
    assert supervisor.keeper("service").ready.is_set()
    await supervisor.stop()


async def test_a_missing_program_is_named(scene):
    async def never():
        return False

    supervisor = scene.supervisor(ProcessSpec("service", ("/no/such/program",), {}, never))
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


async def test_nothing_is_left_when_the_mesh_itself_is_killed(tmp_path):
    owner, pids = await start_owner(tmp_path / "data")
    watchers = [p.pid for p in psutil.Process(owner.pid).children() if p.pid not in pids]
    scratch = Path(DataFolder(tmp_path / "data").state()["scratch"])
    (scratch / "a service's").touch()
    owner.kill()
    await owner.wait()
    await gone(*pids, *watchers)
    assert not is_there(scratch)
    # The folder can be used again at once, and the cluster in it is sound.
    again, pids = await start_owner(tmp_path / "data")
    again.terminate()
    await again.wait()
    await gone(*pids)


async def test_what_is_left_when_the_watcher_is_killed_too_is_ended_by_the_next_start(tmp_path):
    owner, pids = await start_owner(tmp_path / "data")
    for child in psutil.Process(owner.pid).children():
        if child.pid not in pids:
            child.kill()
    owner.kill()
    await owner.wait()
    assert all(psutil.pid_exists(pid) for pid in pids)
    again, new_pids = await start_owner(tmp_path / "data")
    await gone(*pids)
    again.kill()
    await again.wait()
    await gone(*new_pids)


async def test_a_second_mesh_in_the_same_folder_is_refused_and_in_another_runs_beside_it(tmp_path):
    owner, pids = await start_owner(tmp_path / "one")
    second = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(tmp_path / "one"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, said = await second.communicate()
    assert "a mesh already runs in" in said.decode().splitlines()[-1]
    beside, more = await start_owner(tmp_path / "two")
    for process in (owner, beside):
        process.kill()
        await process.wait()
    await gone(*pids, *more)


async def test_a_crash_is_told_and_the_last_runs_log_is_kept(scene):
    said = []
    (scene.folder / "service.log").write_text("of the run before\n")
    supervisor = scene.supervisor(scene.spec("service"), progress=said.append)
    await supervisor.start()
    supervisor.keeper("service").kill(signal.SIGKILL, restart=True)
    async with asyncio.timeout(DEADLINE_S):
        while len(said) < 2:  # noqa: ASYNC110 - the supervisor tells when it tells
            await asyncio.sleep(0.01)
    await supervisor.stop()
    assert said[1] == "service ended (signal SIGKILL); starting it again in 0.0 s"
    assert (scene.folder / "service.log.1").read_text() == "of the run before\n"


@pytest.fixture
def stubborn():
    """A process in a session of its own that does not end when asked."""
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True)
    with process:
        process.stdout.readline()
        yield process
        process.kill()


def test_the_watcher_kills_what_does_not_end_when_asked(stubborn, monkeypatch):
    monkeypatch.setattr(watcher, "_GRACE_S_MAX", 0.1)
    watcher.end({stubborn.pid: signal.SIGTERM})
    assert stubborn.wait(120) == -signal.SIGKILL


async def test_a_stranger_that_has_the_process_id_of_a_dead_mesh_is_let_alone(tmp_path, stubborn):
    (own,) = orphans.describe({"rag": stubborn.pid})
    with DataFolder(tmp_path / "data").open() as folder:
        folder.write_state({"processes": [{**own, "born_at_s": own["born_at_s"] - 1}], "scratch": str(tmp_path)})
        assert await orphans.clear(folder) == []
    assert stubborn.poll() is None
    # Nor is a folder removed that no mesh has made.
    assert is_there(tmp_path)
