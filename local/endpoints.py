"""Everything a person needs to try a running mesh by hand, as text."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

_EXAMPLES = (
    ("rag", "hocket.rag.v1.RagService/ListDocuments", "{}"),
    ("llm_router", "hocket.llm_router.v1.LlmRouterService/ListModels", "{}"),
    ("media_gateway", "hocket.media_gateway.v1.RoomService/ListRooms", "{}"),
)


def describe(state: Mapping[str, Any], token: str) -> str:
    """The endpoints of the mesh that wrote `state`, a token, and commands that use them."""
    targets: Mapping[str, str] = state.get("targets", {})
    ops_urls: Mapping[str, str] = state.get("ops_urls", {})
    pids = {process["name"]: process["pid"] for process in state.get("processes", ())}
    lines = [f"{'process':<14} {'pid':>7}  {'gRPC':<16} operations"]
    lines += [
        f"{name:<14} {pid:>7}  {targets.get(name, '-'):<16} {ops_urls.get(name, '-')}"
        for name, pid in sorted(pids.items(), key=lambda item: (item[0] in targets, item[0]))
    ]
    for label, key in (("LiveKit", "livekit_url"), ("rooms over HTTP", "http_url")):
        if state.get(key):
            lines.append(f"{label}: {state[key]}")
    lines += [
        "",
        "A token to try (one hour), with the addresses in variables:",
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


def exports(state: Mapping[str, Any], token: str) -> str:
    """Return shell commands that set TOKEN, and the address of each service in a variable of its name.

    Args:
        state: What the running mesh wrote into its data folder.
        token: A token of the tenant to try.
    """
    targets: Mapping[str, str] = state.get("targets", {})
    values = {**{noun.upper(): target for noun, target in sorted(targets.items())}, "TOKEN": token}
    if state.get("http_url"):
        values["MEDIA_GATEWAY_HTTP"] = str(state["http_url"])
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in values.items())
