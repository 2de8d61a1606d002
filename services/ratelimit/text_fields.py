"""Checks of text fields that rate limits and the ledger share; an error names the field."""

from __future__ import annotations

import re

from hocket.chassis.errors import invalid_field

LIMIT_NAME = re.compile(r"[a-z0-9_]{1,64}")


def check_limit_name(field: str, name: str) -> None:
    """Check the name of a limit.

    Raises:
        InvalidArgument: `name` is not 1 to 64 characters of [a-z0-9_]; the error names `field`.
    """
    if not LIMIT_NAME.fullmatch(name):
        raise invalid_field(field, "must be 1 to 64 characters of [a-z0-9_], for instance llm_requests")


def check_text(field: str, text: str, bytes_max: int, *, required: bool = False) -> None:
    """Check a text that is stored or becomes part of a key.

    Args:
        field: Path of the field in the request, for the error.
        text: The value.
        bytes_max: Largest size in bytes of UTF-8.
        required: Whether an empty text is an error.

    Raises:
        InvalidArgument: The text is too long, empty although required, or holds control characters.
    """
    if required and not text:
        raise invalid_field(field, "must not be empty")
    if (size := len(text.encode())) > bytes_max:
        raise invalid_field(field, f"is {size} bytes long; at most {bytes_max} are allowed")
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise invalid_field(field, "must not hold control characters")
