"""Text that `up`, `status` and `env` print: processes, endpoints, a token and example commands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

_EXAMPLES = (
    ("rag", "hocket.rag.v1.RagService/ListDocuments", "{}"),
    ("llm_router", "hocket.llm_router.v1.LlmRouterService/ListModels", "{}"),
    ("media_gateway", "hocket.media_gateway.v1.RoomService/ListRooms", "{}"),
)


def format_endpoints(state: Mapping[str, Any], token: str) -> str:
    """Return the processes and endpoints of a running mesh with commands to try.

    Args:
        state: the state in the data folder, see `DataFolder.read_state`.
        token: a JWT of the tenant to try.
    """
    targets: Mapping[str, str] = state.get("targets", {})
    ops_urls: Mapping[str, str] = state.get("ops_urls", {})
    pids = {process["name"]: process["pid"] for process in state.get("processes", ())}
    lines = [f"{'process':<14} {'pid':>7}  {'gRPC':<16} operations"]
    lines += [
        f"{name:<14} {pid:>7}  {targets.get(name, '-'):<16} {ops_urls.get(name, '-')}"
        for name, pid in sorted(pids.items(), key=lambda item: (item[0] in targets, item[0]))
    ]
    for label, key in (("LiveKit", "livekit_url"), ("Rooms API over HTTP", "http_url")):
        if state.get(key):
            lines.append(f"{label}: {state[key]}")
    lines += [
        "",
        "Set TOKEN (valid for one hour) and the address of each service in this shell:",
        "",
        'eval "$(.venv/bin/hocket-local env)"',
        "",
    ]
    lines += [f"export TOKEN={token}", ""]
    if targets:
        any_target = next(iter(targets.values()))
        lines.append(f"grpcurl -plaintext {any_target} list")
    lines += [
        f"grpcurl -plaintext -H \"authorization: Bearer $TOKEN\" -d '{body}' {targets[noun]} {method}"
        for noun, method, body in _EXAMPLES
        if noun in targets
    ]
    if state.get("http_url"):
        lines.append(f'curl -H "Authorization: Bearer $TOKEN" {state["http_url"]}/v1/rooms')
    return "\n".join(lines)


def shell_exports(state: Mapping[str, Any], token: str) -> str:
    """Return shell commands that set TOKEN and, per service, a variable with its address.

    Args:
        state: the state in the data folder, see `DataFolder.read_state`.
        token: a JWT of the tenant to try.
    """
    targets: Mapping[str, str] = state.get("targets", {})
    values = {**{noun.upper(): target for noun, target in sorted(targets.items())}, "TOKEN": token}
    if state.get("http_url"):
        values["MEDIA_GATEWAY_HTTP"] = str(state["http_url"])
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in values.items())
