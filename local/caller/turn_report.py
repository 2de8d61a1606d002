"""Parse turn reports: the JSON that the agent sends on the topic "hocket.turn" after each turn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

TOPIC = "hocket.turn"


@dataclass(frozen=True, slots=True)
class TurnReport:
    """One finished turn.

    Attributes:
        turn_id: id of the turn.
        heard: transcript of the question.
        answered: text of the answer.
        interrupted: the caller interrupted the answer.
        raw: the whole message.
    """

    turn_id: str
    heard: str
    answered: str
    interrupted: bool
    raw: Mapping[str, Any]

    def get(self, *path: str) -> Any:
        """Return the value at `path` of the message, or None if any part of the path is missing."""
        found: Any = self.raw
        for name in path:
            if not isinstance(found, Mapping):
                return None
            found = found.get(name)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType] - JSON
        return found  # pyright: ignore[reportUnknownVariableType] - JSON


def parse_turn_report(message: str | bytes) -> TurnReport | None:
    """Return the report in `message`, or None if the message is not a JSON object with a `turn_id`."""
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
