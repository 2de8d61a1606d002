"""The command `hocket-llm-router score` as a process: bytes in, bytes out, exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys


def test_the_command_reads_utf_8_and_writes_ascii():
    text = json.dumps({"id": "Zürich", "prompt": "Wo liegt Zürich?"}, ensure_ascii=False)
    command = [sys.executable, "-m", "services.llm_router", "score"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for sent, code in ((b"\xef\xbb\xbf" + text.encode(), 0), (text.encode("latin-1"), 1)):
        done = subprocess.run(command, input=sent, capture_output=True, env=env, check=False)
        assert done.returncode == code, done.stderr
        assert done.stdout.isascii()
        assert b"line 1: is not UTF-8" in done.stderr or json.loads(done.stdout)["id"] == "Zürich"
