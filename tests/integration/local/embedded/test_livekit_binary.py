"""Finding and building livekit-server, with a fake Go."""

from __future__ import annotations

import asyncio
import sys

import pytest

from local.embedded import go_builds, livekit_binary
from local.errors import LocalError

GO = """#!/bin/sh
case "$1" in
  version) echo "go version go{version} linux/amd64";;
  install) echo built >> "$LOG"; sleep 0.3; {install};;
esac
"""
SUCCEED = 'mkdir -p "$GOBIN" && echo binary > "$GOBIN/server"'


@pytest.fixture
def put_program(tmp_path, monkeypatch):
    """An empty cache, and a PATH with only the programs of the test."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.delenv("UV", raising=False)

    def put(name, text):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)

    return put


def go(version="1.26.8", install=SUCCEED):
    return GO.format(version=version, install=install)


async def find():
    reported = []
    return await livekit_binary.find_or_build(reported.append), reported


async def test_server_on_path_is_used(put_program, tmp_path):
    put_program("livekit-server", "#!/bin/sh\n")
    found, reported = await find()
    assert (found, reported) == (tmp_path / "tools" / "livekit-server", [])
    assert not (tmp_path / "cache").exists()


async def test_build_happens_once_and_leaves_only_the_binary(put_program, tmp_path):
    put_program("go", go())
    found, reported = await find()
    again, second_report = await find()
    assert found == again == tmp_path / "cache" / "hocket" / "livekit-server-v1.13.5"
    assert found.read_text() == "binary\n"
    assert (tmp_path / "log").read_text() == "built\n"
    assert len(reported) == 1
    assert second_report == []
    assert {p.name for p in found.parent.iterdir()} == {found.name, f"{found.name}.lock"}


async def test_concurrent_builds_build_once(put_program, tmp_path):
    put_program("go", go())
    code = "import asyncio; from local.embedded import livekit_binary as b; print(asyncio.run(b.find_or_build(print)))"
    both = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
        for _ in range(2)
    ]
    reported = [(await process.communicate())[0].decode() for process in both]
    assert all("livekit-server-v1.13.5" in text.splitlines()[-1] for text in reported)
    assert (tmp_path / "log").read_text() == "built\n"


async def test_failed_build_is_a_one_line_error_and_leaves_nothing(put_program, tmp_path):
    put_program("go", go(install="echo 'dial tcp: no route to host' >&2; exit 1"))
    with pytest.raises(
        LocalError, match=r"cannot build livekit-server \(.*LIVEKIT_URL.*\): dial tcp: no route"
    ) as caught:
        await find()
    assert "\n" not in str(caught.value)
    assert [p.name for p in (tmp_path / "cache" / "hocket").iterdir()] == ["livekit-server-v1.13.5.lock"]


async def test_error_for_an_old_go_without_network(put_program, monkeypatch):
    put_program("go", go(version="1.24.1"))
    put_program("uv", "#!/bin/sh\necho 'error: Could not connect' >&2; exit 2\n")
    with pytest.raises(LocalError, match=r"no Go 1\.26 or newer on PATH.*install Go.*Could not connect"):
        await find()


async def test_error_for_too_little_disk_space(put_program, monkeypatch):
    put_program("go", go())
    monkeypatch.setattr(livekit_binary, "_FREE_BYTES_MIN", 1 << 60)
    with pytest.raises(LocalError, match=r"building livekit-server needs .* GB .* GB are free; free some space"):
        await find()


async def test_cache_is_in_the_clone_without_a_home(put_program, tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("pathlib.Path.home", _no_home)
    monkeypatch.setattr(go_builds, "_ROOT", tmp_path / "my clone")
    put_program("go", go())
    found, _ = await find()
    assert found == tmp_path / "my clone" / ".hocket-tools" / "cache" / "livekit-server-v1.13.5"


async def test_cache_is_in_the_clone_when_home_is_read_only(put_program, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))  # a file, because root ignores modes
    monkeypatch.setattr(go_builds, "_ROOT", tmp_path / "clone")
    put_program("go", go())
    found, _ = await find()
    assert found.is_relative_to(tmp_path / "clone")


async def test_error_without_a_writable_cache_folder(put_program, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(LocalError, match="no writable cache folder for livekit-server .*; set XDG_CACHE_HOME"):
        await find()


def _no_home():
    raise RuntimeError("Could not determine home directory.")
