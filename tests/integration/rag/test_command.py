"""The command hocket-rag as a process."""

from __future__ import annotations

import os
import subprocess
import sys

COMMAND = [sys.executable, "-m", "services.rag"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("HOCKET_RAG_")}
    return subprocess.run(
        [*COMMAND, *arguments], env=env | environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_help_lists_every_setting_and_the_defaults_are_valid():
    result = run("--help")
    assert (result.returncode, run("--check-config").returncode) == (0, 0)
    for name in ("POSTGRES_URL", "POSTGRES_MIGRATION_URL", "REDIS_URL", "VOYAGE_API_KEY", "RATELIMIT_TARGET"):
        assert f"HOCKET_RAG_{name}" in result.stdout


def test_invalid_and_misspelled_settings_are_named():
    assert "HOCKET_RAG_PASSAGE_BYTES_MAX" in run("--check-config", HOCKET_RAG_PASSAGE_BYTES_MAX="1").stderr
    assert "HOCKET_RAG_VOYAGE_KEY" in run("--check-config", HOCKET_RAG_VOYAGE_KEY="x").stderr
