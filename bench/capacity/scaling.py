"""Arithmetic from the cost of one room to the size of a mesh with many rooms."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bench.capacity.usage import Usage

SIZES = (10, 100, 1_000, 10_000)
# The autoscaler's target of the media-gateway chart.
ROOMS_PER_GATEWAY_POD = 7
# CPU is provisioned so that half of it is left for bursts and for pods that start or drain.
CPU_TARGET = 0.5
# A room is in its conversation for this share of a day at a site that is busy in office hours.
BUSY_SHARE_OF_DAY = 1 / 3
_MIB = 1024 * 1024
_SECONDS_PER_DAY = 86_400
_SERVICES = ("media_gateway", "vision", "speech", "llm_router", "rag", "ratelimit", "livekit")


def scale_rows(per_room: Mapping[str, Usage], rates: Mapping[str, float], seconds: float) -> list[list[str]]:
    """Return one row per resource with its need at each of `SIZES`.

    Args:
        per_room: process -> usage of one room during `seconds`.
        rates: counter -> operations of one room during `seconds`.
        seconds: duration of the measurement.
    """
    rows = [["media-gateway pods", *(f"{math.ceil(size / ROOMS_PER_GATEWAY_POD):,}" for size in SIZES)]]
    for name in _SERVICES:
        cores = per_room[name].cpu_s / seconds / CPU_TARGET
        rows.append([f"cores, {name}", *(_number(cores * size) for size in SIZES)])
    gib = per_room["media_gateway"].private_bytes / _MIB / 1024
    rows.append(["private memory, media_gateway, GiB", *(_number(gib * size) for size in SIZES)])
    mbits = sum(used.grpc_bytes for used in per_room.values()) * 8 / 1e6 / seconds
    rows.append(["gRPC between pods, Mbit/s", *(_number(mbits * size) for size in SIZES)])
    for name, count in rates.items():
        rows.append([f"{name} per s", *(_number(count / seconds * size) for size in SIZES)])
    events = rates["cost events"] / seconds * _SECONDS_PER_DAY * BUSY_SHARE_OF_DAY
    rows.append(["ledger rows per day", *(f"{events * size:,.0f}" for size in SIZES)])
    return rows


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
