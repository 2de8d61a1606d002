"""Operations port: /livez, /readyz and /metrics over HTTP, and readiness checks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

CHECK_TIMEOUT_S = 2.0
CHECK_INTERVAL_S = 2.0
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


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
