"""Regenerate gen/ from protos/, byte for byte the same on every run; --check fails where they differ."""

from __future__ import annotations

import argparse
import filecmp
import os
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import google.rpc
import grpc_tools
from grpc_tools import protoc as grpc_tools_protoc

# grpc_tools ships no types.
protoc = cast("Callable[[list[str]], int]", grpc_tools_protoc.main)  # pyright: ignore[reportUnknownMemberType]

ROOT = Path(__file__).resolve().parent.parent
# protoc finds its plugins on PATH, where this interpreter's scripts need not be.
os.environ["PATH"] = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))

PROTOS = ROOT / "protos"
GEN = ROOT / "gen"
# Beside google/ lie types written by hand; they stay as they are.
TYPINGS = ROOT / "typings"
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
# The runtime wheel ships google/rpc/*.proto beside untyped modules: types are made from them.
GOOGLE_RPC = Path(next(iter(google.rpc.__path__)))
_GENERATED = {".py", ".pyi", ".typed"}
GOOGLE_RPC_PROTOS = ("status.proto", "error_details.proto")


def generate(out: Path) -> None:
    """Write message, stub and type files for every proto below protos/ into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(p) for p in PROTOS.rglob("*.proto"))
    arguments = [
        "protoc",
        f"-I{PROTOS}",
        f"-I{WELL_KNOWN}",
        f"--python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out=only_async,quiet:{out}",
        *sources,
    ]
    if protoc(arguments) != 0:
        raise SystemExit("protoc failed")
    mark_as_typed(out)


def mark_as_typed(out: Path) -> None:
    """Write py.typed (PEP 561) into `envoy` and each `hocket/<noun>`; the namespace `hocket` itself cannot hold one."""
    for package in (out / "envoy", *(out / "hocket").iterdir()):
        (package / "py.typed").touch()


def generate_google_rpc_types(out: Path) -> None:
    """Write type files for google.rpc into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    sources = [str(GOOGLE_RPC / name) for name in GOOGLE_RPC_PROTOS]
    root = GOOGLE_RPC.parent.parent
    if protoc(["protoc", f"-I{root}", f"-I{WELL_KNOWN}", f"--mypy_out=quiet:{out}", *sources]) != 0:
        raise SystemExit("protoc failed on google/rpc")


def differing(left: Path, right: Path) -> list[str]:
    """Relative paths of files that are missing on one side or differ."""
    files = {p.relative_to(d) for d in (left, right) for p in d.rglob("*.*") if p.suffix in _GENERATED}
    return sorted(
        str(f)
        for f in files
        if not ((left / f).exists() and (right / f).exists() and filecmp.cmp(left / f, right / f, shallow=False))
    )


def replace(kept: Path, made: Path) -> None:
    """Make `kept` hold what `made` holds, file by file, touching only what differs."""
    for name in differing(kept, made):
        if (made / name).exists():
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).replace(kept / name)
        else:
            (kept / name).unlink()


def main() -> None:
    """Regenerate, or with --check compare with a clean regeneration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when gen/ is stale, write nothing")
    check: bool = parser.parse_args().check
    # Always beside and then over: whoever imports the stubs meanwhile never finds them gone.
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".stubs-") as scratch:
        made_gen, made_typings = Path(scratch, "gen"), Path(scratch, "typings")
        generate(made_gen)
        generate_google_rpc_types(made_typings)
        pairs = ((made_gen, GEN), (made_typings / "google", TYPINGS / "google"))
        stale = [name for made, kept in pairs for name in differing(kept, made)]
        if not check:
            for made, kept in pairs:
                replace(kept, made)
            return
    if stale:
        sys.exit("gen/ is stale, run `make protos`:\n  " + "\n  ".join(stale))


if __name__ == "__main__":
    main()
