"""JSON schemas of the tools that the agent offers to the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SEARCH_KNOWLEDGE = "search_knowledge"
GET_USER_PROFILE = "get_user_profile"
CREATE_TASK = "create_task"
LOG_INSIGHT = "log_insight"
ARGUMENT_CHARS_MAX = 2000


def _schema(name: str, description: str, **properties: str) -> dict[str, Any]:
    """Return a schema of string properties; the suffix `_optional` of a name makes its property optional."""
    optional = {key for key in properties if key.endswith("_optional")}
    return {
        "name": name,
        "description": description,
        "parameters": {
            "type": "object",
            "properties": {
                key.removesuffix("_optional"): {"type": "string", "description": text, "maxLength": ARGUMENT_CHARS_MAX}
                for key, text in properties.items()
            },
            "required": [key for key in properties if key not in optional],
            "additionalProperties": False,
        },
    }


SCHEMAS: dict[str, dict[str, Any]] = {
    SEARCH_KNOWLEDGE: _schema(
        SEARCH_KNOWLEDGE,
        "Search the knowledge base when the passages at hand do not answer the question.",
        query="What to look for, in plain words.",
    ),
    GET_USER_PROFILE: _schema(GET_USER_PROFILE, "Tell who the person in the conversation is."),
    CREATE_TASK: _schema(
        CREATE_TASK,
        "Write down a task or reminder for the person when they ask for one.",
        title="What is to be done.",
        due_optional="When it is due, as the person said it.",
    ),
    LOG_INSIGHT: _schema(
        LOG_INSIGHT,
        "Keep a lasting fact about the person or their wishes that will matter in later conversations.",
        text="The fact in one sentence.",
    ),
}


def text_argument(arguments: Mapping[str, object], name: str) -> str:
    """Return a tool's argument as text.

    Args:
        arguments: Parsed arguments of the call, written by the model.
        name: Name of the argument.

    Returns:
        The argument without surrounding white space, cut to 2000 characters; empty if missing or not a string.
    """
    value = arguments.get(name)
    return value.strip()[:ARGUMENT_CHARS_MAX] if isinstance(value, str) else ""
