"""Operations port: /livez, /readyz and /metrics over HTTP, and readiness checks."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version

import structlog
from aiohttp import web
from prometheus_client import REGISTRY, Gauge, disable_created_metrics
from prometheus_client.exposition import choose_encoder

CHECK_TIMEOUT_S = 2.0
CHECK_INTERVAL_S = 2.0
BUILD_INFO = Gauge(
    "hocket_build_info",
    "Always 1; versions of hocket and Python, and the revision of the source where HOCKET_REVISION has it.",
    ["version", "revision", "python"],
)
READY = Gauge("hocket_ready", "1 while the service is ready for traffic, 0 while a check fails or the service drains.")
DEPENDENCY_READY = Gauge(
    "hocket_dependency_ready",
    "1 if the last readiness check of the dependency passed, else 0; `certificates` is 0 if one has expired.",
    ["dependency"],
)
_log = structlog.get_logger()

Check = Callable[[], Awaitable[None]]


class Readiness:
    """Readiness of the service: every check has passed, and the server is not draining.

    A check is a coroutine function that returns if its dependency answers, and raises otherwise.
    """

    def __init__(self, checks: Mapping[str, Check]) -> None:
        """Start not ready; `checks` are keyed by the name of the dependency."""
        self._checks = dict(checks)
        self._failing: dict[str, str] = dict.fromkeys(checks, "not checked yet")
        self.draining = False
        self.changed = asyncio.Event()

    @property
    def ready(self) -> bool:
        """True while the service accepts traffic."""
        return not self.draining and not self._failing

    def problems(self) -> dict[str, str]:
        """Return the problem of each failing check, by name."""
        return {**self._failing, **({"draining": "the server is stopping"} if self.draining else {})}

    async def refresh(self) -> None:
        """Run every check once."""
        before = self.ready
        outcomes = await asyncio.gather(*(_outcome(check) for check in self._checks.values()))
        failing = {name: text for name, text in zip(self._checks, outcomes, strict=True) if text}
        for name in self._checks:
            DEPENDENCY_READY.labels(name).set(name not in failing)
        if failing != self._failing:
            _log.info("readiness changed", failing=failing)
        self._failing = failing
        if self.ready != before:
            self.changed.set()

    async def keep_fresh(self) -> None:
        """Run the checks every 2 s until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(CHECK_INTERVAL_S)


_READINESS = web.AppKey("readiness", Readiness)


async def _outcome(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S} s"
    except Exception as error:  # noqa: BLE001 - any exception of a driver means "not ready"
        return f"{type(error).__name__}: {error}"
    return ""


async def start_ops_server(host: str, port: int, readiness: Readiness) -> tuple[web.AppRunner, int]:
    """Serve the operations port; return its runner, which the caller cleans up, and its port (a free one for 0)."""
    # No alert or dashboard uses the time of creation, one sample for each counter and histogram.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    BUILD_INFO.labels(version("hocket"), os.environ.get("HOCKET_REVISION", ""), platform.python_version()).set(1)
    app = web.Application()
    app.router.add_get("/livez", _livez)
    app[_READINESS] = readiness
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host.strip("[]"), port)
    await site.start()
    return runner, int(runner.addresses[0][1])


async def _livez(_: web.Request) -> web.Response:
    return web.json_response({"live": True})


async def _readyz(request: web.Request) -> web.Response:
    readiness = request.app[_READINESS]
    status = 200 if readiness.ready else 503
    return web.json_response({"ready": readiness.ready, "problems": readiness.problems()}, status=status)


async def _metrics(request: web.Request) -> web.Response:
    READY.set(request.app[_READINESS].ready)
    # Prometheus asks for OpenMetrics, which carries exemplars.
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})
