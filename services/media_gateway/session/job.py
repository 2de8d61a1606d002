"""Entry points of a room's process: `prewarm` before a room is assigned, `serve_room` with the assigned job."""

# livekit and redis leave parameters of their generics open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import importlib
import ssl
from contextlib import AsyncExitStack

import structlog
from livekit.agents import JobContext as LiveKitJob
from livekit.agents import JobProcess, inference, tokenize
from opentelemetry import trace

from hocket.chassis import telemetry as chassis_telemetry
from services.media_gateway.adapters.livekit_tracing import trace_turns
from services.media_gateway.config import JobConfig
from services.media_gateway.rooms.admission import read_job
from services.media_gateway.session.room_session import RoomSession
from services.media_gateway.turns.tenant_settings import SAFE

_log = structlog.get_logger()


def prewarm(config: JobConfig, process: JobProcess) -> None:
    """Load what a session needs and what does not depend on an event loop.

    Args:
        config: Configuration of the process.
        process: The idle process; its `userdata` gets `ssl` (certificate authorities) and `vad` (the voice activity
            detector).
    """
    _set_up_telemetry(config)
    # Loaded at the start of a room, each of these two would block the event loop for 100 to 400 ms.
    process.userdata["ssl"] = ssl.create_default_context()
    importlib.import_module("anyio._backends._asyncio")
    # Loads the patterns that align transcripts with playback, 10 ms before the first word otherwise.
    tokenize.basic.hyphenate_word("warm")
    process.userdata["vad"] = inference.VAD(min_silence_duration=SAFE.vad_min_silence_s)


async def serve_room(config: JobConfig, ctx: LiveKitJob) -> None:
    """Start the agent of one room; the process ends when livekit-agents shuts the job down.

    Args:
        config: Configuration of the process.
        ctx: The accepted job.
    """
    job = read_job(ctx.job.metadata, ctx.job.room.name)
    if job is None:
        _log.error("job without a tenant", livekit_room=ctx.job.room.name)
        ctx.shutdown("job without a tenant")
        return
    ctx.log_context_fields = {"tenant_id": job.tenant_id, "room": job.room}
    structlog.contextvars.bind_contextvars(tenant_id=job.tenant_id, room=job.room)
    resources = AsyncExitStack()

    async def close_resources(reason: str) -> None:
        _log.info("leaving the room", reason=reason)
        await resources.aclose()

    ctx.add_shutdown_callback(close_resources)
    await RoomSession(config, job, ctx, resources).start()


def _set_up_telemetry(config: JobConfig) -> None:
    """Set up logs and traces before a room is assigned: its root span starts before `serve_room` is called."""
    chassis_telemetry.set_up(
        "hocket-media-gateway",
        level=config.log_level,
        log_content=config.log_content,
        otlp_endpoint=config.otlp_endpoint,
    )
    trace_turns(trace.get_tracer_provider(), log_content=config.log_content)
