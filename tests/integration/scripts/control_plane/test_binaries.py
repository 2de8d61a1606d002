"""Building the control plane, with a fake Go."""

from __future__ import annotations

import asyncio
import sys

import pytest

from local.errors import LocalError
from local.progress import no_progress
from scripts.control_plane import binaries

# Answers as Go does: `build` writes its output, `list` and `mod download` name a folder with the files that are copied.
GO = """#!/bin/sh
echo "$*" >> "$LOG"
case "$1" in
  version) echo "go version go1.26.8 linux/amd64";;
  build)
    {build}
    while [ "$1" != "-o" ]; do shift; done
    echo "$GOCACHE" > "$2";;
  list) echo "$MODULES/kwok";;
  mod)
    echo "go: downloading $4" >&2
    echo '{{"Dir": "'"$MODULES"'/crds", "Sum": "'"$(grep -F "$4 " "$SUMS" | cut -d' ' -f2)"'"}}';;
esac
"""


@pytest.fixture
def put_go(tmp_path, monkeypatch):
    """An empty cache, modules with the files that a build copies, and a fake Go on PATH."""
    tools, modules = tmp_path / "tools", tmp_path / "modules"
    tools.mkdir()
    copied = [modules / "kwok" / path for path in binaries._NODE_STAGES]
    copied += [modules / "crds" / path for source in binaries.CRDS for path in source.files]
    for file in copied:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(file.name)
    sums = tmp_path / "sums"
    sums.write_text("".join(f"{s.module}@{s.version} {s.checksum}\n" for s in binaries.CRDS))
    for name, value in {"MODULES": modules, "SUMS": sums, "LOG": tmp_path / "log"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def put(build=":"):
        (tools / "go").write_text(GO.format(build=build))
        (tools / "go").chmod(0o755)

    return put


def built(tmp_path) -> list[str]:
    """The packages that `go build` was called for, in order."""
    lines = (tmp_path / "log").read_text().splitlines()
    return [line.split()[-1] for line in lines if line.startswith("build ")]


async def test_build_happens_once_and_leaves_programs_stages_and_definitions(put_go, tmp_path):
    put_go()
    assert binaries.find() is None
    reported: list[str] = []
    found = await binaries.find_or_build(reported.append)
    again = await binaries.find_or_build(reported.append)
    assert found == again == binaries.find()
    assert built(tmp_path) == list(binaries.PROGRAMS.values())
    assert all((found.folder / "bin" / name).exists() for name in binaries.PROGRAMS)
    assert len(found.stages()) == len(binaries._NODE_STAGES)
    assert len(found.crds()) == sum(len(source.files) for source in binaries.CRDS)
    assert {p.name for p in (tmp_path / "cache/hocket").iterdir()} == {found.folder.name, f"{found.folder.name}.lock"}


async def test_failed_build_keeps_what_go_has_cached_for_the_next_one(put_go, tmp_path):
    put_go(build="case \"$*\" in *kube-apiserver*) echo 'signal: killed' >&2; exit 1;; esac")
    with pytest.raises(LocalError, match=r"cannot build the control plane \(`go build .*`\): signal: killed"):
        await binaries.find_or_build(no_progress)
    assert binaries.find() is None
    put_go()
    found = await binaries.find_or_build(no_progress)
    caches = {(found.folder / "bin" / name).read_text().strip() for name in binaries.PROGRAMS}
    assert caches == {str(tmp_path / "cache/hocket" / f"{found.folder.name}.building" / "cache")}


async def test_concurrent_builds_build_once(put_go, tmp_path):
    put_go(build="sleep 0.1")
    argv = (sys.executable, "-m", "scripts.control_plane", "build")
    both = [await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE) for _ in range(2)]
    outputs = {(await process.communicate())[0].decode().strip() for process in both}
    assert outputs == {str(tmp_path / "cache/hocket" / binaries.cache_name())}
    assert len(built(tmp_path)) == len(binaries.PROGRAMS)


async def test_module_with_another_checksum_is_refused(put_go, tmp_path):
    put_go()
    sums = tmp_path / "sums"
    sums.write_text(sums.read_text().replace("h1:", "h1:changed"))
    with pytest.raises(LocalError, match=r"github\.com/kedacore/keda/v2@.* has checksum h1:changed.*, not h1:R6z2"):
        await binaries.find_or_build(no_progress)


async def test_build_command_ends_after_its_minutes_and_says_so(put_go):
    put_go(build="exec sleep 600")
    argv = (sys.executable, "-m", "scripts.control_plane", "build", "--minutes", "0.001")
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().splitlines()[-1] == (
        "the control plane is not built after 0.001 minutes; the next build continues"
    )
