"""The clone that scripts work on: its commands, its git and its version."""

from __future__ import annotations

import subprocess
import sys
import tomllib

from scripts.lock_file import ROOT

OUTPUT_LINES_MAX = 40


def project_version() -> str:
    """Return the version in pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def git(*arguments: str) -> str:
    """Return what git prints."""
    return run("git", *arguments).strip()


def run(*command: str, env: dict[str, str] | None = None) -> str:
    """Run `command` at the root of the clone; return its standard output, or exit with the end of its output."""
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        output = "\n".join((done.stdout + done.stderr).splitlines()[-OUTPUT_LINES_MAX:])
        sys.exit(f"failed: {' '.join(command)}\n{output}")
    return done.stdout
