"""The worker that LiveKit offers jobs to: accepts or rejects them, and serves each room in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from livekit.agents import AgentServer, JobProcess, JobRequest
from livekit.agents import JobContext as LiveKitJob

from hocket.chassis.errors import Unavailable
from services.media_gateway import telemetry
from services.media_gateway.config import WorkerConfig
from services.media_gateway.rooms import admission
from services.media_gateway.rooms.admission import JobDecision, JobOutcome, SlotAnswer
from services.media_gateway.rooms.job_context import JobContext
from services.media_gateway.rooms.names import AGENT_IDENTITY

# Preloading takes 244 MB (measured) for a turn detector that is not used. livekit-agents' forkserver reads the variable
# on import.
_PRELOAD = "LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE"
_GAUGE_INTERVAL_S = 1.0
# LiveKit may start late or restart, so the worker keeps reconnecting; the readiness check reports it meanwhile.
_CONNECT_ATTEMPTS_MAX = 1_000_000
_log = structlog.get_logger()

AcquireSlot = Callable[[JobContext, str], Awaitable[SlotAnswer]]


class Worker:
    """Runs livekit-agents' AgentServer as a task of this process; rooms run in child processes."""

    def __init__(
        self,
        config: WorkerConfig,
        serve_room: Callable[[LiveKitJob], Awaitable[None]],
        prewarm: Callable[[JobProcess], None],
        acquire_slot: AcquireSlot,
    ) -> None:
        """Prepare the worker.

        Args:
            config: LiveKit server, capacity and timeouts.
            serve_room: Serves one room; called in the room's process, must be picklable.
            prewarm: Prepares an idle process; must be picklable.
            acquire_slot: Acquires the tenant's room slot for a job and a LiveKit room.
        """
        os.environ[_PRELOAD] = "0"
        self._config = config
        self._acquire_slot = acquire_slot
        self._server = AgentServer(
            ws_url=config.livekit_url,
            api_key=config.api_key,
            api_secret=config.api_secret,
            load_fnc=self._load,
            load_threshold=1.0,
            num_idle_processes=config.idle_processes,
            initialize_process_timeout=config.process_start_timeout_s,
            drain_timeout=int(config.drain_s),
            max_retry=_CONNECT_ATTEMPTS_MAX,
            setup_fnc=prewarm,
            preload_modules=["grpc", "services.media_gateway.session.job"],
            # Its own health endpoint is not used: it answers 200 while draining and before registration.
            host="127.0.0.1",
            port=0,
            log_level=config.log_level,
        )
        self._server.rtc_session(serve_room, agent_name=config.agent_name, on_request=self._on_request)
        self._server.on("worker_registered", self._on_registered)  # pyright: ignore[reportUnknownMemberType] - as livekit types it
        self._started = self._registered = False
        self._tasks: list[asyncio.Task[None]] = []
        self._drain_task: asyncio.Task[None] | None = None
        telemetry.rooms_max.set(config.rooms_max)

    def start(self) -> None:
        """Start connecting to LiveKit."""
        self._tasks = [
            asyncio.create_task(self._run(), name="livekit-worker"),
            asyncio.create_task(self._update_gauge(), name="livekit-gauge"),
        ]

    async def check(self) -> None:
        """Readiness check.

        Raises:
            Unavailable: The worker is not registered, so LiveKit offers it no jobs.
        """
        if not self._registered:
            raise Unavailable("worker is not registered with LiveKit; check livekit_url and the API key")

    @property
    def draining(self) -> bool:
        """Whether the worker rejects new jobs because it is stopping."""
        return self._drain_task is not None

    def active_rooms(self) -> int:
        """Return the number of rooms being served."""
        return len(self._server.active_jobs) if self._registered else 0

    def drain(self) -> None:
        """Reject new jobs; running rooms go on until they end."""
        if self._drain_task is None and self._registered:
            self._drain_task = asyncio.create_task(self._drain(), name="livekit-drain")

    async def drained(self) -> None:
        """Drain, and wait for the rooms to end, at most `drain_s` seconds."""
        self.drain()
        if self._drain_task:
            await self._drain_task

    async def close(self) -> None:
        """End the remaining rooms and stop."""
        # Required even if the worker never registered: its connection and idle processes would keep this process alive.
        if self._started:
            await self._server.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        self._started = True
        try:
            await self._server.run()
        finally:
            self._registered = False

    async def _drain(self) -> None:
        _log.info("worker draining", active_rooms=self.active_rooms(), drain_s=self._config.drain_s)
        with contextlib.suppress(TimeoutError):
            await self._server.drain(timeout=int(self._config.drain_s))

    async def _update_gauge(self) -> None:
        while True:
            telemetry.active_rooms.set(self.active_rooms())
            await asyncio.sleep(_GAUGE_INTERVAL_S)

    def _on_registered(self, worker_id: str, _: Any) -> None:
        self._registered = True
        _log.info("worker registered", worker_id=worker_id, agent_name=self._config.agent_name)

    def _load(self, server: AgentServer) -> float:
        return admission.load(len(server.active_jobs), self._config.rooms_max)

    async def _on_request(self, request: JobRequest) -> None:
        context = admission.read_job(request.job.metadata, request.room.name)
        decision = await self._decide(context, request.room.name)
        tier = context.tenant_tier if context else "none"
        telemetry.jobs.labels(tier, decision.outcome.value).inc()
        _log.info("job offered", livekit_room=request.room.name, outcome=decision.outcome.value)
        if decision.accepted:
            await request.accept(name="hocket", identity=AGENT_IDENTITY)
        else:
            await request.reject(terminate=decision.terminate)

    async def _decide(self, context: JobContext | None, livekit_room: str) -> JobDecision:
        refusal = admission.refuse_before_slot(
            context, draining=self.draining, active_rooms=self.active_rooms(), rooms_max=self._config.rooms_max
        )
        if refusal:
            return refusal
        if context is None:
            return JobDecision(JobOutcome.MALFORMED, terminate=True)
        return admission.decide_by_slot(await self._acquire_slot(context, livekit_room))
