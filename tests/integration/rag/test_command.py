"""The command hocket-rag as a process."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.fakes.waiting import START_S

COMMAND = [sys.executable, "-m", "services.rag"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("HOCKET_RAG_")}
    return subprocess.run(
        [*COMMAND, *arguments], env=env | environment, capture_output=True, text=True, timeout=START_S, check=False
    )


def test_help_lists_every_setting_and_the_defaults_are_valid():
    result = run("--help")
    assert (result.returncode, run("--check-config").returncode) == (0, 0)
    for name in ("POSTGRES_URL", "REDIS_URL", "VOYAGE_API_KEY", "RATELIMIT_TARGET"):
        assert f"HOCKET_RAG_{name}" in result.stdout


def test_invalid_and_misspelled_settings_are_named():
    assert "HOCKET_RAG_PASSAGE_BYTES_MAX" in run("--check-config", HOCKET_RAG_PASSAGE_BYTES_MAX="1").stderr
    assert "HOCKET_RAG_VOYAGE_KEY" in run("--check-config", HOCKET_RAG_VOYAGE_KEY="x").stderr


def test_server_with_the_url_of_the_schema_owner_warns_and_does_not_use_it():
    name = "HOCKET_RAG_POSTGRES_MIGRATION_URL"
    # Nothing listens on port 1: the server starts and is not ready.
    urls = {"HOCKET_RAG_POSTGRES_URL": "postgresql://a@127.0.0.1:1/x", name: "postgresql://b:hunter2@127.0.0.1:1/x"}
    process = subprocess.Popen(
        COMMAND, env=os.environ | urls, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if '"serving"' in line:
                break
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=START_S)
    assert [line for line in lines if name in line and "sub-command" in line and '"warning"' in line]
    assert "hunter2" not in "".join(lines) + rest
    assert process.returncode == 0
