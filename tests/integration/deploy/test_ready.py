"""The health check of the images, deploy/docker/ready."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

import pytest

READY = Path(__file__).resolve().parents[3] / "deploy" / "docker" / "ready"


@pytest.mark.parametrize(("status", "code"), [("200 OK", 0), ("503 Service Unavailable", 1)])
def test_the_health_check_follows_readyz_and_prints_its_answer(status, code):
    body = '{"problems": {"redis": "no answer"}}'
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                assert connection.recv(4096).startswith(b"GET /readyz HTTP/1.0\r\n")
                connection.sendall(f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{body}".encode())

        thread = threading.Thread(target=answer)
        thread.start()
        done = subprocess.run(
            ("bash", str(READY), str(server.getsockname()[1])), capture_output=True, text=True, check=False
        )
        thread.join()
    assert (done.returncode, done.stdout.strip()) == (code, f"{status.split()[0]} {body}")


def test_the_health_check_fails_where_nothing_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
        done = subprocess.run(("bash", str(READY), port), capture_output=True, text=True, check=False)
    assert done.returncode == 1
