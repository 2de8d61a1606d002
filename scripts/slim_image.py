"""Make the environment of an image small: the last build step of deploy/docker/Dockerfile.

Removes what no service imports at run time, strips shared libraries, starts the service once, and compiles the modules
that the start has imported. Needs the standard library and `strip` only; runs with the environment's own Python.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import py_compile
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

START_TIMEOUT_S = 600
SERVING = b'"serving"'
# Folders of tests, and files that only compilers and type checkers read.
_FOLDERS = {"tests", "test", "__pycache__", "include", "f2py"}
_SUFFIXES = {".a", ".c", ".cc", ".cpp", ".f90", ".h", ".hpp", ".lib", ".pxd", ".pxi", ".pyi", ".pyx"}
# Per package: what hocket does not use, relative to site-packages.
_UNUSED = (
    # Pillow: pictures are read and written as JPEG, PNG and WebP; no text, colour profile, window or AVIF.
    *("PIL/_avif.*", "PIL/_imagingft.*", "PIL/_imagingcms.*", "PIL/_imagingtk.*"),
    *("pillow.libs/libavif*", "pillow.libs/libfreetype*", "pillow.libs/libharfbuzz*", "pillow.libs/liblcms2*"),
    *("pillow.libs/libbrotli*", "pillow.libs/libpng16*"),
    # Test modules of numpy outside of its folders of tests.
    *("numpy/_core/_*_tests.*", "numpy/_core/_simd.*"),
)
# Packages whose absence an extra explains; each other module that does not import ends the build.
_OPTIONAL = {"espeakng_loader", "numpy", "pocketsphinx"}
_IMPORT_ALL = """\
import importlib, pkgutil, sys
import {package}
for found in pkgutil.walk_packages({package}.__path__, "{package}."):
    try:
        importlib.import_module(found.name)
    except ModuleNotFoundError as error:
        if error.name not in {optional!r}:
            raise
        print(f"left uncompiled: {{found.name}} (needs {{error.name}})", file=sys.stderr)
"""
# Modules that the SDKs of vendors load at the first call, which a caller waits for.
_FIRST_USE = {
    "llm-router": """\
import anthropic, openai
from google import genai
openai.AsyncOpenAI(api_key="unused").chat.completions
anthropic.AsyncAnthropic(api_key="unused").messages
genai.Client(api_key="unused").aio.caches
""",
    "media-gateway": "import livekit.agents.ipc._preload, livekit.agents.ipc.job_proc_lazy_main",
    "speech": """\
import deepgram
from elevenlabs.client import AsyncElevenLabs
AsyncElevenLabs(api_key="unused").text_to_speech.with_raw_response
deepgram.AsyncDeepgramClient(api_key="unused").listen.v2
""",
}


def main() -> None:
    """Make the environment of the running Python small; exit with what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service", help="name of the service, for instance llm-router")
    parser.add_argument("--bytecode", type=Path, required=True, help="folder for bytecode (PYTHONPYCACHEPREFIX)")
    options = parser.parse_args()
    service: str = options.service
    site = Path(sys.prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
    before = size_bytes(Path(sys.prefix))
    for path in list(removable(site)):
        remove(path)
    strip(site)
    start_once(service, options.bytecode)
    modules = recompile(options.bytecode)
    after = size_bytes(Path(sys.prefix))
    print(f"{service}: {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB with bytecode of {modules} modules")


def size_bytes(folder: Path) -> int:
    """Return the sum of the sizes of the files below `folder`, in bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def removable(site: Path) -> Iterator[Path]:
    """Yield folders and files below `site` that no service uses at run time."""
    for pattern in _UNUSED:
        yield from site.glob(pattern)
    for path in site.rglob("*"):
        relative = path.relative_to(site)
        if relative.parts[0].endswith(".dist-info") or relative.parts[0] in {"services", "hocket"}:
            continue
        if path.name in _FOLDERS if path.is_dir() else path.suffix in _SUFFIXES:
            yield path


def remove(path: Path) -> None:
    """Delete a file or a folder; a parent may have been deleted before."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def strip(site: Path) -> None:
    """Remove symbols and debug information of shared libraries, unless the linker could not load the result."""
    for library in site.rglob("*"):
        if library.is_symlink() or not library.is_file() or not re.search(r"\.so(\.|$)", library.name):
            continue
        stripped = library.with_name(library.name + ".stripped")
        command = ("strip", "--strip-unneeded", "-o", str(stripped), str(library))
        done = subprocess.run(command, capture_output=True, check=False)
        smaller = done.returncode == 0 and stripped.stat().st_size < library.stat().st_size
        if smaller and loadable(stripped.read_bytes()):
            shutil.copymode(library, stripped)
            stripped.replace(library)
        stripped.unlink(missing_ok=True)


def loadable(elf: bytes) -> bool:
    """Return whether each segment of a 64-bit ELF file lies where the linker can map it.

    `strip` misplaces segments of some libraries that auditwheel has edited ("not properly aligned").
    """
    offset, size, count = struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54)
    for index in range(count):
        kind, _, file_offset, address, _, _, _, alignment = struct.unpack_from("<IIQQQQQQ", elf, offset + index * size)
        if kind == 1 and alignment > 1 and (file_offset - address) % alignment:
            return False
    return True


def start_once(service: str, bytecode: Path) -> None:
    """Import every module of the service, use its SDKs, and start it; Python writes the bytecode of what it imports.

    Raises:
        SystemExit: A module does not import, or the service does not start.
    """
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env |= {"PYTHONPYCACHEPREFIX": str(bytecode), "LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE": "0"}
    package = f"services.{service.replace('-', '_')}"
    code = _IMPORT_ALL.format(package=package, optional=_OPTIONAL) + _FIRST_USE.get(service, "")
    subprocess.run((sys.executable, "-c", code), cwd="/", env=env, check=True, timeout=START_TIMEOUT_S)
    if service == "speech":
        # A vendor-only image has no engine that starts without a key.
        env |= {f"HOCKET_SPEECH_{vendor}_API_KEY": "unused" for vendor in ("DEEPGRAM", "ELEVENLABS")}
    command = Path(sys.prefix, "bin", f"hocket-{service}")
    process = subprocess.Popen((str(command),), cwd="/", env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    limit = threading.Timer(START_TIMEOUT_S, process.kill)
    limit.start()
    lines: list[bytes] = []
    for line in process.stderr or ():
        lines.append(line)
        if SERVING in line:
            process.send_signal(signal.SIGTERM)
    limit.cancel()
    if process.wait() != 0 or not any(SERVING in line for line in lines):
        sys.exit(f"hocket-{service} does not start\n" + b"".join(lines).decode(errors="replace"))


def recompile(bytecode: Path) -> int:
    """Compile each module below `bytecode` again so that it is used whatever the times of the files are.

    Returns:
        The number of modules.
    """
    sys.pycache_prefix = str(bytecode)
    compiled = list(bytecode.rglob("*.pyc"))
    for path in compiled:
        source = Path("/", path.relative_to(bytecode)).with_name(path.name.split(".")[0] + ".py")
        path.unlink()
        if source.exists():
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(source), importlib.util.cache_from_source(str(source)), invalidation_mode=mode)
    return len(compiled)


if __name__ == "__main__":
    main()
