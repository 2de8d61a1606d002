"""Normalizes a conversation for all vendors: alternating turns, every tool call answered, the user last.

Vendors reject sequences that live conversations produce: a barge-in between a tool call and its result, two consecutive
turns of one role, an assistant turn at the end, blank text. Reordering loses no content; missing tool results are
filled in as not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.llm_router.chat.request import Message, Part, Role, Text, ToolCall, ToolResult

NOT_RUN = "The tool was not run."
_BEGIN = Text("(The conversation begins.)")
_GO_ON = Text("(Go on.)")


def normalize_turns(turns: Sequence[Message], keeps_state_of: str = "") -> list[tuple[Role, list[Part]]]:
    """Return alternating USER and ASSISTANT turns that start and end with USER.

    Tool results stand first in the USER turn after their calls, as Anthropic requires. Blank text, which vendors
    reject, is dropped unless it carries provider state.

    Args:
        turns: Messages without instructions, oldest first.
        keeps_state_of: Provider for which blank text that carries its state is kept.
    """
    results = {p.call_id: p for m in turns for p in m.parts if isinstance(p, ToolResult)}
    merged: list[tuple[Role, list[Part]]] = []
    for message in turns:
        role = Role.ASSISTANT if message.role is Role.ASSISTANT else Role.USER
        own = keeps_state_of if role is Role.ASSISTANT else ""
        parts = [p for p in message.parts if not isinstance(p, ToolResult) and (not is_blank(p) or _carries(p, own))]
        calls = [p for p in parts if isinstance(p, ToolCall)]
        if parts:
            _append(merged, role, parts)
        if calls:
            missing = ToolResult("", "", NOT_RUN, is_error=True)
            # With the call's name: Gemini matches results by name, and callers may omit it.
            answers = [replace(results.get(c.call_id, missing), call_id=c.call_id, name=c.name) for c in calls]
            _append(merged, Role.USER, answers)
    if not merged or merged[0][0] is not Role.USER:
        merged.insert(0, (Role.USER, [_BEGIN]))
    if merged[-1][0] is not Role.USER:
        merged.append((Role.USER, [_GO_ON]))
    return merged


def is_blank(part: Part) -> bool:
    """True for a text part without visible characters."""
    return isinstance(part, Text) and not part.text.strip()


def _carries(part: Part, provider: str) -> bool:
    return isinstance(part, Text) and bool(part.state.get(provider))


def _append(merged: list[tuple[Role, list[Part]]], role: Role, parts: Sequence[Part]) -> None:
    if merged and merged[-1][0] is role:
        merged[-1][1].extend(parts)
    else:
        merged.append((role, list(parts)))
