"""One demo environment for the whole session, and the report of one demo run in it."""

from __future__ import annotations

import pytest
import pytest_asyncio

from local.demo.environment import start_environment
from local.demo.report import Report
from local.demo.run import run_demo

# A first run can build livekit-server; waits within a test have their own limits.
TIMEOUT_S = 900


def pytest_collection_modifyitems(items):
    for item in items:
        if "/e2e/" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo_environment(tmp_path_factory):
    async with start_environment(tmp_path_factory.mktemp("mesh"), print) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo(demo_environment, tmp_path_factory) -> Report:
    """The report of one demo run."""
    report = Report()
    await run_demo(demo_environment, report, tmp_path_factory.mktemp("demo") / "call.wav", print)
    report.write(tmp_path_factory.mktemp("demo") / "demo-report.json")
    return report
