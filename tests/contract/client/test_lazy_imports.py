"""Importing one client loads neither another client nor its dependencies; each case needs a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", ["RagClient", "RouterClient", "SpeechClient", "RateLimitClient", "RoomClient"])
def test_only_the_vision_client_imports_numpy(name):
    loaded = modules_after(f"from hocket.client import MeshChannel, MeshError, {name}")
    assert not loaded & {"numpy", "simplejpeg", "hocket.client.vision"}


def test_the_package_alone_imports_no_grpc():
    assert not {m for m in modules_after("import hocket.client") if m.startswith("grpc")}


@pytest.mark.parametrize("package", ["aiohttp", "pydantic", "prometheus_client", "asyncpg"])
def test_no_client_imports_a_package_of_the_servers(package):
    assert package not in modules_after("from hocket.client import *")
