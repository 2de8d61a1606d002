"""JSON that every vendor's SDK can send on: what Python reads beyond the standard is refused here, with its place."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, cast

# Deeper ones meet the recursion limits of one SDK or another.
DEPTH_MAX = 64


def parse(text: str) -> Any:
    """The value in `text`. Raises ValueError that says what is wrong: no JSON, or none that can be sent on."""
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError as error:
        raise _too_deep() from error
    _check(value)
    return value


def parse_object(text: str) -> dict[str, Any]:
    """As `parse`; also refuses what is no object."""
    value = parse(text)
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - the text is wrong, not a type of ours
    return cast("dict[str, Any]", value)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"holds a number too large for any model: {text[:20]}")
    return value


def _check(whole: object) -> None:
    """Depth and letters; level by level, so that depth costs no recursion."""
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
        raise ValueError("holds half of a surrogate pair, which is no letter") from error


def _too_deep() -> ValueError:
    return ValueError(f"is nested too deeply; at most {DEPTH_MAX} levels")
