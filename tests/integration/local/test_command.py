"""The command `hocket-local`, with servers and one service."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

import grpc
import psutil
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from local.processes.ports import HOST


@pytest.fixture
def run(tmp_path):
    """Run a subcommand in its own data folder; stop the mesh after the test."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("HOCKET_")}
    env["HOCKET_LOCAL_DATA_DIR"] = str(tmp_path / "data")

    def call(*arguments, **more):
        command = (sys.executable, "-m", "local", *arguments)
        return subprocess.run(command, env=env | more, capture_output=True, text=True, timeout=100, check=False)

    yield call
    call("down")


def test_up_status_kill_and_down(run, tmp_path):
    up = run("up", "--detach", "--only", "vision")
    assert up.returncode == 0, up.stderr
    token = re.search(r"TOKEN=(\S+)", up.stdout)[1]
    target = re.search(r"^vision +\d+ +(\S+)", up.stdout, re.MULTILINE)[1]
    assert token.count(".") == 2
    assert "hocket.vision.v1.VisionService" in reflected(target)

    pids = {name: int(pid) for name, pid in re.findall(r"^(vision|redis) +(\d+)", up.stdout, re.MULTILINE)}
    killed = run("kill-service", "redis")
    assert killed.returncode == 0
    assert str(pids["redis"]) in killed.stdout

    status = run("status")
    assert target in status.stdout
    assert "a mesh already runs" in run("up", "--detach").stderr

    assert run("down").returncode == 0
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert "no mesh runs" in run("status").stderr
    assert not (tmp_path / "data" / "state.json").exists()


def reflected(target):
    with grpc.insecure_channel(target) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        answer = next(iter(stub.ServerReflectionInfo(iter([ask]), timeout=5)))
    return [service.name for service in answer.list_services_response.service]


@pytest.mark.parametrize(
    ("arguments", "env", "line"),
    [
        (("status",), {}, "no mesh runs in .*; start one with `make up`"),
        (("kill-service", "rag"), {}, "no process 'rag' runs; start the mesh with `make up` first"),
        (("up", "--only", "radio"), {}, "unknown name: radio; choose from ratelimit, vision"),
        (("up",), {"HOCKET_LOCAL_PORT_BASE": "many"}, "HOCKET_LOCAL_PORT_BASE: Input should be a valid integer"),
        (("up",), {"HOCKET_LOCAL_DATA_DIR": "/proc/nowhere"}, "cannot use the data folder /proc/nowhere: "),
        (
            ("up", "--only", "vision"),
            {"REDIS_URL": "redis://:secret@127.0.0.1:1/0"},
            "REDIS_URL: 127.0.0.1:1 does not answer PING .ConnectionError.; start that server, correct",
        ),
        (
            ("up",),
            {"LIVEKIT_URL": "ws://127.0.0.1:1"},
            "LIVEKIT_URL is set without credentials; set LIVEKIT_API_KEY",
        ),
        (
            ("up", "--only", "rag"),
            {"DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/db"},
            "cannot prepare Postgres at 127.0.0.1:1: ",
        ),
    ],
)
def test_user_errors_are_one_line_with_the_fix(run, arguments, env, line):
    done = run(*arguments, **env)
    assert done.returncode == 1
    assert re.match(f"hocket-local: {line}", done.stderr.replace("\n", " ")), done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    assert done.stderr.strip().count("\n") == 0


def test_error_for_a_port_in_use(run):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        done = run("up", "--only", "vision", HOCKET_LOCAL_PORT_BASE=str(port))
    assert done.stderr.startswith(
        f"hocket-local: port {port} is in use; stop the program that uses it, or set HOCKET_LOCAL_PORT_BASE"
    )
