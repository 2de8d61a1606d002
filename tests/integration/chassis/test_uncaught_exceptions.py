"""Whatever a process has not caught is one JSON object per line on standard error."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.fakes.waiting import START_S

PROGRAM = """
import asyncio, gc, threading, warnings
from hocket.chassis.logs import set_up_logs

set_up_logs("hocket-probe", level="INFO", log_content=False)

def broken(where):
    raise ValueError(where)

class Broken:
    def __del__(self):
        broken("finalizer")

async def main():
    async def task():
        broken("task")
    asyncio.create_task(task())
    asyncio.get_running_loop().call_soon(broken, "callback")
    await asyncio.sleep(0.01)
    gc.collect()

warnings.warn("an old function", stacklevel=1)
thread = threading.Thread(target=broken, args=("thread",))
thread.start()
thread.join()
Broken()
gc.collect()
asyncio.run(main())
broken("main")
"""


def test_uncaught_exceptions_and_warnings_are_json():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=START_S, check=False)
    assert done.returncode == 1
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert all(event["service"] == "hocket-probe" for event in events)
    values = [event["exception"][0]["exc_value"] for event in events if "exception" in event]
    assert sorted(values) == ["callback", "finalizer", "main", "task", "thread"]
    assert "an old function" in events[0]["event"]
    assert events[-1]["level"] == "critical"
