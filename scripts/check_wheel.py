"""Build the published wheel and use it as another team would: installed alone, type-checked, against a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Import names that the published wheel may put into site-packages.
PUBLISHED = {"hocket", "envoy"}
PACKAGES_MAX = 20  # exclusive; counts hocket itself
IMAGE_SERVICE = "vision"
START_TIMEOUT_S = 60
SERVING = '"serving"'
# The spaces are part of the check: a path with one must work everywhere.
FOLDER_PREFIX = "hocket wheel-"

CALLER = """\
from __future__ import annotations

import asyncio
import sys

from hocket.client import MeshChannel, VisionClient


async def main(target: str, token: str) -> None:
    async with MeshChannel(target, lambda: token) as channel:
        stats = await VisionClient(channel).get_stats(room="nowhere")
        print(stats.total.offered)


asyncio.run(main(sys.argv[1], sys.argv[2]))
"""
# Proves that messages are typed: mypy accepts any attribute where a message's base class is untyped.
MISSPELLED = ("stats.total.offered", "stats.total.ofered")


def main() -> None:
    """Run every check; exit with the first that fails."""
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as scratch:
        folder = Path(scratch)
        published = build(folder / "published")
        check_contents(published, PUBLISHED)
        image = build(folder / "image", service=IMAGE_SERVICE)
        check_contents(image, {*PUBLISHED, f"services/{IMAGE_SERVICE}"})
        python = install(published, folder / "environment")
        check_site_packages(python)
        work = working_folder(folder / "another team")
        check_types(python, work)
        check_call(python, work)
    print(f"wheel: {published.name} holds {' and '.join(sorted(PUBLISHED))}, is typed, and calls a server")


def build(out: Path, *, service: str = "") -> Path:
    """Build the published wheel, or the wheel of one service's image, into `out`."""
    env = {k: v for k, v in os.environ.items() if k != "HOCKET_SERVICE"}
    if service:
        env["HOCKET_SERVICE"] = service
    run(uv(), "build", "--quiet", "--wheel", "--out-dir", str(out), cwd=ROOT, env=env)
    (wheel,) = out.glob("*.whl")
    return wheel


def check_contents(wheel: Path, expected: set[str]) -> None:
    """Fail unless `wheel` holds exactly the packages `expected`, a licence, and `py.typed` where types are promised."""
    names = zipfile.ZipFile(wheel).namelist()
    found = {
        "/".join(parts[: 2 if parts[0] == "services" else 1])
        for name in names
        if not (parts := name.split("/"))[0].endswith((".dist-info", ".data")) and name != "services/__init__.py"
    }
    require(found == expected, f"{wheel.name} holds {sorted(found)} instead of {sorted(expected)}")
    for file in ("LICENSE", "NOTICE"):
        require(any(n.endswith(f".dist-info/licenses/{file}") for n in names), f"{wheel.name} holds no {file}")
    require(not any("/__pycache__/" in name for name in names), f"{wheel.name} holds __pycache__")
    untyped = sorted(set(packages_with_stubs(names)) - {n.removesuffix("/py.typed") for n in names if "py.typed" in n})
    require(not untyped, f"no py.typed in {wheel.name} for {', '.join(untyped)}")


def packages_with_stubs(names: list[str]) -> Iterator[str]:
    """Yield the packages that promise types: `hocket/<name>`, which share a namespace, and `envoy`."""
    for name in names:
        parts = name.split("/")
        if parts[0] in PUBLISHED and len(parts) > 2:
            yield "/".join(parts[: 2 if parts[0] == "hocket" else 1])


def install(wheel: Path, environment: Path) -> Path:
    """Install `hocket[client]` from `wheel` into a new environment; return its interpreter."""
    run(uv(), "venv", "--quiet", "--python", sys.executable, str(environment))
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    run(uv(), "pip", "install", "--quiet", "--python", str(python), f"hocket[client] @ {wheel.as_uri()}")
    return python


def check_site_packages(python: Path) -> None:
    """Fail when our wheel put more than its packages into site-packages, or brought too many others."""
    code = (
        "import importlib.metadata as m, json;"
        "print(json.dumps([sorted(d.name for d in m.distributions()),"
        " sorted({f.parts[0] for f in m.files('hocket')})]))"
    )
    distributions, tops = json.loads(run(str(python), "-c", code))
    others = [top for top in tops if top not in PUBLISHED and not top.endswith(".dist-info")]
    require(not others, f"the wheel put {others} into site-packages")
    require(len(distributions) < PACKAGES_MAX, f"{len(distributions)} packages installed: {distributions}")


def working_folder(folder: Path) -> Path:
    """Write the caller beside packages of its own that carry names the repository uses."""
    for name in ("clients", "services", "local"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("", encoding="utf-8")
    (folder / "caller.py").write_text(CALLER, encoding="utf-8")
    (folder / "misspelled.py").write_text(CALLER.replace(*MISSPELLED), encoding="utf-8")
    return folder


def check_types(python: Path, work: Path) -> None:
    """Fail when mypy finds an error, an untyped import or an `Any` in the caller, or misses a misspelled field."""
    strict = ("-m", "mypy", "--strict", "--disallow-any-expr", "--python-executable", str(python))
    # No configuration file and no cache of this clone: the other team has neither.
    alone = ("--config-file", os.devnull, "--cache-dir", str(work / ".cache"))
    run(sys.executable, *strict, *alone, "caller.py", cwd=work)
    done = subprocess.run(
        (sys.executable, *strict, *alone, "misspelled.py"), cwd=work, capture_output=True, text=True, check=False
    )
    require("[attr-defined]" in done.stdout, f"mypy does not see a misspelled field:\n{done.stdout}{done.stderr}")


def check_call(python: Path, work: Path) -> None:
    """Fail when the caller gets no answer from a server of this clone."""
    with server() as target:
        answer = run(str(python), "caller.py", target, "no key is configured", cwd=work)
    require(answer.strip() == "0", f"the caller printed {answer!r} instead of 0")


@contextmanager
def server() -> Generator[str]:
    """Serve `vision` of this clone on a free loopback port for the block; yield `host:port`."""
    prefix = f"HOCKET_{IMAGE_SERVICE.upper()}_"
    env = {k: v for k, v in os.environ.items() if not k.startswith("HOCKET_")} | {f"{prefix}GRPC_PORT": "0"}
    process = subprocess.Popen(
        (sys.executable, "-m", f"services.{IMAGE_SERVICE}"), cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True
    )
    limit = threading.Timer(START_TIMEOUT_S, process.kill)
    limit.start()
    try:
        yield serving_address(process)
    finally:
        limit.cancel()
        process.terminate()
        process.communicate()


def serving_address(process: subprocess.Popen[str]) -> str:
    """Return `host:port` of gRPC from the log line with which the server says that it serves."""
    lines: list[str] = []
    for line in process.stderr or ():
        lines.append(line)
        if SERVING in line:
            return str(json.loads(line)["grpc"])
    raise SystemExit(f"services.{IMAGE_SERVICE} did not start:\n{''.join(lines)}")


def uv() -> str:
    """Return the uv that the Makefile chose, else the one on PATH."""
    return os.environ.get("UV", "uv")


def run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run `command`; return its standard output, or exit with all of its output."""
    clean = {k: v for k, v in (env or os.environ).items() if k not in {"VIRTUAL_ENV", "PYTHONPATH", "MYPYPATH"}}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"failed: {' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def require(holds: bool, otherwise: str) -> None:
    """Exit with `otherwise` unless `holds`."""
    if not holds:
        sys.exit(otherwise)


if __name__ == "__main__":
    main()
