"""JSON that every vendor's SDK can send on. Rejects values that only Python's parser accepts."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, cast

# Deeper values exceed the recursion limits of some SDKs.
DEPTH_MAX = 64


def parse(text: str) -> Any:
    """Parse `text`.

    Raises:
        ValueError: Not JSON, deeper than `DEPTH_MAX`, or holding a number or character that cannot be sent on.
    """
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError as error:
        raise _too_deep() from error
    _check(value)
    return value


def parse_object(text: str) -> dict[str, Any]:
    """Parse `text` as a JSON object. Raises ValueError as `parse`, and for any other type."""
    value = parse(text)
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - the text is wrong, not a type of ours
    return cast("dict[str, Any]", value)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"holds a number too large for any model: {text[:20]}")
    return value


def _check(whole: object) -> None:
    """Check depth and characters level by level, without recursion."""
    level: list[object] = [whole]
    for _ in range(DEPTH_MAX + 1):
        if not level:
            return
        inside: list[object] = []
        for one in level:
            if isinstance(one, str):
                _check_letters(one)
            elif isinstance(one, dict):
                for key, value in cast("dict[str, object]", one).items():
                    inside += (key, value)
            elif isinstance(one, list):
                inside.extend(cast("list[object]", one))
        level = inside
    raise _too_deep()


def _check_letters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds a lone surrogate; send valid Unicode") from error


def _too_deep() -> ValueError:
    return ValueError(f"is nested too deeply; at most {DEPTH_MAX} levels")
