"""One mesh for the whole session, with the example backend and two tenants' knowledge; one demo held on it."""

from __future__ import annotations

import pytest
import pytest_asyncio

from local.demo.environment import open_stage
from local.demo.report import Report
from local.demo.run import hold_demo

# A first run may have to build livekit-server; a test's own waiting is bounded where it waits.
TIMEOUT_S = 900


def pytest_collection_modifyitems(items):
    for item in items:
        if "/e2e/" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(tmp_path_factory):
    async with open_stage(tmp_path_factory.mktemp("mesh"), print) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo(stage, tmp_path_factory) -> Report:
    """The report of one demo; its own checks are among what the tests assert."""
    report = Report()
    await hold_demo(stage, report, tmp_path_factory.mktemp("demo") / "call.wav", print)
    report.write(tmp_path_factory.mktemp("demo") / "demo-report.json")
    return report
