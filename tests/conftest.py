"""The marker of a test is the tier that it lies in; a test outside a tier is not collected. Shared fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry import trace

from hocket.chassis import rpc_spans

TIERS = ("unit", "contract", "integration", "e2e", "chart")
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tier = item.path.relative_to(TESTS).parts[0]
        if tier not in TIERS:
            raise pytest.UsageError(f"{item.path}: tests live in tests/{{{','.join(TIERS)}}}/")
        item.add_marker(tier)


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the calls of the test itself no spans.

    Another test of the session may have set a tracer provider: the spans of a client would be parents that no
    collector has.
    """
    monkeypatch.setattr(rpc_spans, "_tracer", trace.NoOpTracer())
