"""The API reference holds every field with its comment, and links that lead somewhere."""

from __future__ import annotations

import re

import pytest

from scripts.gen_api_reference import pages, read_protos, slug


@pytest.fixture(scope="module")
def written():
    return pages(read_protos())


def test_every_service_has_a_page(written):
    nouns = {"llm_router", "media_gateway", "rag", "ratelimit", "speech", "vision", "errors", "envoy", "index"}
    assert set(written) == {f"{noun}.md" for noun in nouns}
    assert "### VisionService.Watch" in written["vision.md"]
    assert "stream of [WatchRequest](#message-watchrequest)" in written["vision.md"]


def test_every_link_leads_to_a_heading(written):
    for name, text in written.items():
        for file, anchor in re.findall(r"\]\(([a-z_]+\.md)?#([^)]+)\)", text):
            headings = re.findall(r"^#+ (.+)$", written[file or name], re.MULTILINE)
            assert anchor in map(slug, headings), f"{name}: {file}#{anchor}"


def test_every_row_of_a_table_says_something(written):
    empty = [row for text in written.values() for row in text.splitlines() if re.search(r"\|\s+\|$", row)]
    assert empty == []
