"""livekit-agents imports with the placeholder for PyAV, and with nothing else of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PLACEHOLDERS = ROOT / "deploy" / "docker" / "placeholders"
CODE = """
import av, livekit.agents, services.media_gateway.session.room_session
assert av.__file__.startswith({folder!r}), av.__file__
assert "av.container" in __import__("sys").modules
try:
    av.open
except AttributeError as error:
    assert "this image has no PyAV" in str(error), error
else:
    raise AssertionError("the placeholder opens files")
"""


def test_the_gateway_imports_without_pyav():
    code = CODE.format(folder=str(PLACEHOLDERS))
    path = ":".join((str(PLACEHOLDERS), str(ROOT), str(ROOT / "gen")))
    done = subprocess.run(
        (sys.executable, "-c", code),
        env={"PYTHONPATH": path, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
