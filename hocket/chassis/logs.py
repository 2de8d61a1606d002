"""Logs as JSON on standard error, one object per line: those of hocket and of libraries, and uncaught exceptions."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any

import structlog
from opentelemetry import trace
from structlog.tracebacks import ExceptionDictTransformer

PII_KEY_PART = "pii"
# Values that libraries attach to their records and that hold no content; livekit-agents attaches transcripts, too.
_LIBRARY_KEYS = ("pid", "job_id", "room", "room_id", "agent_name", "worker_id", "tenant_id")
_log = structlog.get_logger()


def set_up_logs(service: str, *, level: str, log_content: bool) -> None:
    """Write logs to standard error: event, level, time, service, trace id and values, one JSON object per line.

    Records of `logging` are written from WARNING on, with their logger's name. They replace what another handler of the
    root logger wrote, such as livekit-agents' in a room's process, which forwards them without trace and tenant.

    Args:
        service: Service name, for instance "hocket-rag".
        level: Lowest level logged.
        log_content: Keep values under `pii` keys and all values of libraries: the content that users said.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_service(service),
        _with_trace,
        _content_filter(log_content),
        # Without local variables of the frames: they hold tokens and what users said.
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
    ]
    number = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    extra = structlog.stdlib.ExtraAdder(None if log_content else _LIBRARY_KEYS)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, extra, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    for other in root.handlers[:]:
        # Not closed: livekit-agents closes its own at the end of the process.
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(max(number, logging.WARNING))
    logging.captureWarnings(capture=True)
    sys.excepthook, threading.excepthook, sys.unraisablehook = _uncaught, _uncaught_in_thread, _unraisable


def _uncaught(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, frames)
        return
    _log.critical("uncaught exception", exc_info=(kind, error, frames))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread else ""
    _log.error("uncaught exception", thread=name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    # `args.object` is left out: its text may hold content.
    event = args.err_msg or "exception ignored"
    _log.error(event, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))


def _with_service(service: str) -> structlog.types.Processor:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        event["service"] = service
        return event

    return add


def _with_trace(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format(context.trace_id, "032x")
    return event


def _content_filter(log_content: bool) -> structlog.types.Processor:
    def drop(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        if not log_content:
            for key in [k for k in event if PII_KEY_PART in k.split(".")]:
                del event[key]
        return event

    return drop
