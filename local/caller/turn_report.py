"""What the agent tells of a turn: the JSON of topic "hocket.turn", read without trust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

TOPIC = "hocket.turn"


@dataclass(frozen=True, slots=True)
class TurnReport:
    """One finished turn as the agent saw it; `raw` is the whole message."""

    turn_id: str
    heard: str
    answered: str
    interrupted: bool
    raw: Mapping[str, Any]

    def get(self, *path: str) -> Any:
        """The value at `path` of the message, or None where something is missing."""
        found: Any = self.raw
        for name in path:
            if not isinstance(found, Mapping):
                return None
            found = found.get(name)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType] - JSON
        return found  # pyright: ignore[reportUnknownVariableType] - JSON


def read_turn(message: str | bytes) -> TurnReport | None:
    """The report in `message`, or None when it is not one."""
    try:
        raw: Any = json.loads(message)
    except ValueError:
        return None
    if not isinstance(raw, dict):
        return None
    report = cast("dict[str, Any]", raw)
    if not isinstance(report.get("turn_id"), str):
        return None
    return TurnReport(
        turn_id=report["turn_id"],
        heard=str(report.get("heard") or ""),
        answered=str(report.get("answered") or ""),
        interrupted=bool(report.get("interrupted")),
        raw=report,
    )
