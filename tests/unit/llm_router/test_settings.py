"""Invalid settings are refused before the start, naming the variable."""

from __future__ import annotations

import pytest

from hocket.chassis.run import read_settings
from services.llm_router.settings import Settings

PREFIX = "HOCKET_LLM_ROUTER_"


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("REDIS_URL", "notaurl", "must be a URL like redis://"),
        ("ANTHROPIC_BASE_URL", "api.anthropic.com", "must be a URL like https://"),
        ("GEMINI_BASE_URL", "ftp://host", "must be a URL like https://"),
        ("OPENAI_BASE_URL", "http://host:port/v1", "must be a URL like https://"),
        ("OPENAI_BASE_URL", "http://", "must be a URL like https://"),
        ("ANTHROPIC_BASE_URL", "https://host /v1", "must be a URL like https://"),
    ],
)
def test_an_invalid_setting_is_reported_in_one_line(monkeypatch, variable: str, value: str, problem: str):
    monkeypatch.setenv(PREFIX + variable, value)
    with pytest.raises(SystemExit) as told:
        read_settings("hocket-llm-router", Settings)
    first, line = str(told.value).splitlines()
    assert (first, line.split(":")[0].strip()) == ("hocket-llm-router: wrong settings", PREFIX + variable)
    assert problem in line


def test_an_openai_server_needs_the_name_of_its_model(monkeypatch):
    monkeypatch.setenv(f"{PREFIX}OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")
    with pytest.raises(SystemExit, match="openai_base_url needs openai_model"):
        read_settings("hocket-llm-router", Settings)
    monkeypatch.setenv(f"{PREFIX}OPENAI_MODEL", "llama")
    assert read_settings("hocket-llm-router", Settings).openai_model == "llama"


@pytest.mark.parametrize("url", ["https://api.anthropic.com", "http://[::1]:8080/v1", "http://vllm:8000/v1/"])
def test_addresses_of_vendors(url: str):
    assert Settings(anthropic_base_url=url, gemini_base_url="").anthropic_base_url == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"bias": 0}',
        '{"bias": 0, "weights": {"words": "many"}}',
        '{"bias": NaN, "weights": {}}',
        '{"bias": 0, "weights": {"words": 1e999}}',
        '{"bias": 0, "weights": {"words": 800}}',
        "[" * 100_000,
    ],
)
def test_a_file_without_weights_is_reported(monkeypatch, tmp_path, text: str):
    path = tmp_path / "weights.json"
    monkeypatch.setenv(f"{PREFIX}WEIGHTS_FILE", str(path))
    assert read_settings("hocket-llm-router", Settings).weights_file == path
    path.write_text(text)
    with pytest.raises(SystemExit, match=rf"{PREFIX}WEIGHTS_FILE: .*holds no valid weights"):
        read_settings("hocket-llm-router", Settings)
