"""The tools an agent offers."""

from __future__ import annotations

import json

import jsonschema

from services.media_gateway.turns import tool_schemas


def test_every_tool_has_a_valid_schema_that_forbids_what_it_does_not_name():
    for name, schema in tool_schemas.SCHEMAS.items():
        assert schema["name"] == name
        jsonschema.Draft202012Validator.check_schema(schema["parameters"])
        assert schema["parameters"]["additionalProperties"] is False
        json.dumps(schema)


def test_a_task_needs_a_title_and_may_be_due():
    parameters = tool_schemas.SCHEMAS[tool_schemas.CREATE_TASK]["parameters"]
    assert parameters["required"] == ["title"]
    assert set(parameters["properties"]) == {"title", "due"}


def test_arguments_are_text_within_a_limit():
    assert tool_schemas.text_argument({"title": " call Bob "}, "title") == "call Bob"
    assert tool_schemas.text_argument({"title": 5}, "title") == ""
    assert tool_schemas.text_argument({}, "title") == ""
    assert len(tool_schemas.text_argument({"title": "x" * 9999}, "title")) == tool_schemas.ARGUMENT_CHARS_MAX
