"""A conversation made fit for any vendor: results follow their calls, no call stays open, the person speaks last.

Vendors refuse what a live conversation produces: a barge-in between a call and its result, two turns of one side in a
row, an answer at the end. Nothing is lost here; only order changes, and what is missing is said to be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.llm_router.conversation import Message, Part, Passage, Role, Text, ToolCall, ToolResult

NOT_RUN = "The tool was not run."
_BEGIN = Text("(The conversation begins.)")
_GO_ON = Text("(Go on.)")


def mended(turns: Sequence[Message]) -> list[tuple[Role, list[Part]]]:
    """Alternating turns of USER and ASSISTANT, the first and last of USER, each call answered in the turn after it.

    Tool results stand first in their USER turn, as Anthropic asks.
    """
    results = {p.call_id: p for m in turns for p in m.parts if isinstance(p, ToolResult)}
    merged: list[tuple[Role, list[Part]]] = []
    for message in turns:
        role = Role.ASSISTANT if message.role is Role.ASSISTANT else Role.USER
        parts = [p for p in message.parts if not isinstance(p, ToolResult) and p != Text("")]
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


def _append(merged: list[tuple[Role, list[Part]]], role: Role, parts: Sequence[Part]) -> None:
    if merged and merged[-1][0] is role:
        merged[-1][1].extend(parts)
    else:
        merged.append((role, list(parts)))


def passage_text(passage: Passage) -> str:
    """How a passage is shown to a model: marked, so that it is read as material and not as the person's words."""
    title = passage.title.replace('"', "'")
    return f'<passage title="{title}">\n{passage.text}\n</passage>'
