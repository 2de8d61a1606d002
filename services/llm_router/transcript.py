"""A conversation made fit for any vendor: results follow their calls, no call stays open, the person speaks last.

Vendors refuse what a live conversation produces: a barge-in between a call and its result, two turns of one side in a
row, an answer at the end, a text of blanks. No word is lost here; only order changes, and what is missing is said to be
missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from services.llm_router.conversation import Message, Part, Passage, Request, Role, Text, ToolCall, ToolResult

NOT_RUN = "The tool was not run."
_BEGIN = Text("(The conversation begins.)")
_GO_ON = Text("(Go on.)")


def mended(turns: Sequence[Message], keeps_state_of: str = "") -> list[tuple[Role, list[Part]]]:
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


def instructions(request: Request) -> str:
    """The tenant's instructions; empty where they are blanks alone."""
    return request.system if request.system.strip() else ""


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


def passage_text(passage: Passage) -> str:
    """How a passage is shown to a model: marked, so that it is read as material and not as the person's words."""
    title = passage.title.replace('"', "'")
    return f'<passage title="{title}">\n{passage.text}\n</passage>'


def arguments_of(arguments_json: str) -> dict[str, Any]:
    """A call's arguments in values that JSON has. Raises ValueError where they are no object.

    Numbers that are none are null, as JavaScript writes them, and half a character is replaced by the sign for that:
    models write both, and sent on as they are they make no valid request.
    """
    text = _whole(arguments_json) or "{}"
    value = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    if "\\u" in text:
        value = json.loads(_whole(json.dumps(value, ensure_ascii=False)))
    # Some models write null where there is nothing to say.
    if not isinstance(value or {}, dict):
        raise ValueError("arguments are no JSON object")  # noqa: TRY004 - of what was said, not of a caller's type
    return cast("dict[str, Any]", value or {})


def _whole(text: str) -> str:
    """`text` with halves of characters joined where both came."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None
