"""A conversation made fit for any vendor: results follow their calls, no call stays open, the person speaks last.

Vendors refuse what a live conversation produces: a barge-in between a call and its result, two turns of one side in a
row, an answer at the end, a text of blanks. No word is lost here; only order changes, and what is missing is said to be
missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.llm_router.chat.request import Message, Part, Role, Text, ToolCall, ToolResult

NOT_RUN = "The tool was not run."
_BEGIN = Text("(The conversation begins.)")
_GO_ON = Text("(Go on.)")


def normalize_turns(turns: Sequence[Message], keeps_state_of: str = "") -> list[tuple[Role, list[Part]]]:
    """Alternating turns of USER and ASSISTANT, the first and last of USER, each call answered in the turn after it.

    Tool results stand first in their USER turn, as Anthropic asks. A text of blanks, which vendors refuse, is left out
    unless it carries what the provider `keeps_state_of` wants back on it.
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
            # Named as the call is: Gemini matches by name, and a caller may leave it out.
            answers = [replace(results.get(c.call_id, missing), call_id=c.call_id, name=c.name) for c in calls]
            _append(merged, Role.USER, answers)
    if not merged or merged[0][0] is not Role.USER:
        merged.insert(0, (Role.USER, [_BEGIN]))
    if merged[-1][0] is not Role.USER:
        merged.append((Role.USER, [_GO_ON]))
    return merged


def is_blank(part: Part) -> bool:
    """Whether a part is a text that says nothing."""
    return isinstance(part, Text) and not part.text.strip()


def _carries(part: Part, provider: str) -> bool:
    return isinstance(part, Text) and bool(part.state.get(provider))


def _append(merged: list[tuple[Role, list[Part]]], role: Role, parts: Sequence[Part]) -> None:
    if merged and merged[-1][0] is role:
        merged[-1][1].extend(parts)
    else:
        merged.append((role, list(parts)))
