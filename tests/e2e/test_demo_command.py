"""The demo as a command: invalid recordings, and cleanup after a signal."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")
_IN_CONVERSATION, _STARTING = "the agent has joined", "vision is ready"


async def start_demo(data_dir: Path, *arguments: str, env: dict[str, str] | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "local.demo",
        "--data-dir",
        str(data_dir),
        "--report",
        str(data_dir.parent / "report.json"),
        "--recording",
        str(data_dir.parent / "call.wav"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
    )


async def test_invalid_recording_is_rejected_before_the_mesh_starts(tmp_path):
    (tmp_path / "my.wav").write_text("this is not a recording")
    process = await start_demo(tmp_path / "mesh", "--wav", str(tmp_path / "my.wav"))
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert out == b""
    assert err.decode().count("\n") == 1
    assert "not a PCM WAV" in err.decode()
    assert not (tmp_path / "mesh").exists()


@pytest.fixture
def scratch():
    """A temporary folder with a path short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="h-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("number", "during"), [(signal.SIGKILL, _IN_CONVERSATION), (signal.SIGTERM, _STARTING)], ids=["killed", "stopped"]
)
async def test_signal_leaves_no_process_socket_or_temporary_file(tmp_path, scratch, number, during):
    process = await start_demo(tmp_path / "mesh", env={**os.environ, "TMPDIR": str(scratch)})
    async with asyncio.timeout(300):
        while during not in (line := (await process.stdout.readline()).decode()):
            assert line, (await process.stderr.read()).decode()
    family = psutil.Process(process.pid).children(recursive=True)
    ports = {c.laddr.port for p in family for c in _listening(p)}
    assert len(family) > 5
    assert len(ports) > 3
    process.send_signal(number)
    await asyncio.wait_for(process.communicate(), 60)
    gone, alive = await asyncio.to_thread(psutil.wait_procs, family, 30)
    assert alive == []
    assert {c.laddr.port for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN} & ports == set()
    assert sorted(p.name for p in scratch.iterdir()) == []
    left = [p for p in (tmp_path / "mesh").rglob("*") if p.is_socket()]
    assert left == []
    assert process.returncode == (-signal.SIGKILL if number is signal.SIGKILL else 130)


def _listening(process: psutil.Process):
    try:
        return [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    except psutil.Error:
        return []
