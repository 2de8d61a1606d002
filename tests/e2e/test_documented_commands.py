"""Every command in a ```sh block of a document, and in the docstring of an example, works against a running mesh.

`make up` and `make down` are run as documented, around all others. ```console blocks show commands that need a vendor,
a cluster or a container engine; they are not run.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SHIMS = ROOT / "tests" / "fakes" / "command_shims.py"
BASH = ("bash", "-euo", "pipefail", "-c")
COMMAND_TIMEOUT_S = 840
# Targets that the fixture runs, that this run is part of, or that change the clone; they must exist.
ONLY_DRY = re.compile(r"make (up|down|demo|test|check|setup|docs|protos|licences|fmt|clean|distclean|release|bench)\b")
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documents() -> list[Path]:
    patterns = ("*.md", "docs/**/*.md", "services/*/README.md", "bench/**/*.md", "examples/**/*.md", "deploy/**/*.md")
    knowledge = ROOT / "examples" / "knowledge"
    return sorted({p for pattern in patterns for p in ROOT.glob(pattern) if knowledge not in p.parents})


def commands_in(text: str) -> list[str]:
    """The commands of a block: comments dropped, continued lines joined."""
    joined = re.sub(r"\\\n|(?<=\|)\n", " ", re.sub(r"\s+# .*|^#.*", "", text, flags=re.MULTILINE))
    return [line.strip() for line in joined.splitlines() if line.strip()]


def documented() -> list[tuple[str, str]]:
    found = [
        (str(path.relative_to(ROOT)), command)
        for path in documents()
        for block in _BLOCK.findall(path.read_text(encoding="utf-8"))
        for command in commands_in(block)
    ]
    for path in sorted((ROOT / "examples").glob("*.py")):
        docstring = path.read_text(encoding="utf-8").split('"""')[1]
        if "\n\n" in docstring:
            found += [(f"examples/{path.name}", c) for c in commands_in(docstring.split("\n\n", 1)[1])]
    first: dict[str, str] = {}
    for document, command in found:
        first.setdefault(command, document)
    return [(document, command) for command, document in first.items()]


@pytest.fixture(scope="module")
def mesh():
    """Environment of a shell in which `make up` was run."""
    data = Path(tempfile.mkdtemp(prefix="h-"))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    env["HOCKET_LOCAL_DATA_DIR"] = str(data / "mesh")
    try:
        try:
            subprocess.run((*BASH, "make up"), cwd=ROOT, env=env, check=True, timeout=900)
            yield env | variables(env)
        finally:
            subprocess.run((*BASH, "make down"), cwd=ROOT, env=env, check=True, timeout=120)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def variables(env: dict[str, str]) -> dict[str, str]:
    """What a shell has after it evaluated `hocket-local env`."""
    done = run('eval "$(.venv/bin/hocket-local env)"; env -0', ROOT, env)
    assert done.returncode == 0, done.stderr
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if "=" in entry)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, mesh):
    """A clone as far as commands look: the examples, the environment, pictures and a clip to give them."""
    clone = tmp_path_factory.mktemp("clone")
    for name in (".venv", "examples", "docs", "bench"):
        (clone / name).symlink_to(ROOT / name)
    (clone / "shots").mkdir()
    rng = np.random.default_rng(1)
    for number in range(2):
        Image.fromarray(rng.integers(0, 255, (90, 160, 3), np.uint8)).save(clone / "shots" / f"{number}.png")
    bin_folder = clone / "bin"
    bin_folder.mkdir()
    for name in ("grpcurl", "ffmpeg"):
        if name == "ffmpeg" or shutil.which(name) is None:
            shim = bin_folder / name
            shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SHIMS}" {name} "$@"\n')
            shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    mesh["PATH"] = f"{bin_folder}{os.pathsep}{mesh['PATH']}"
    return clone


COMMANDS = documented()


def test_documents_hold_commands_and_start_and_stop_the_mesh():
    assert {"make up", "make demo", "make test"} <= {command for _, command in COMMANDS}
    assert len(COMMANDS) > 10


@pytest.mark.parametrize(("document", "command"), [pytest.param(d, c, id=f"{d}: {c[:60]}") for d, c in COMMANDS])
def test_a_documented_command_succeeds(document, command, mesh, folder):
    if ONLY_DRY.match(command):
        done = run(command.replace("make ", "make --dry-run ", 1), ROOT, mesh)
    elif command.startswith("make "):
        done = run(command, ROOT, mesh)
    else:
        done = run(command, folder, mesh)
    assert done.returncode == 0, f"{document}: {command}\n{done.stdout}{done.stderr}"


def run(script: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*BASH, script),
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
