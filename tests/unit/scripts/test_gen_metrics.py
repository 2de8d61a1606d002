"""The metrics page holds what the code declares; the operations page names only metrics that exist."""

from __future__ import annotations

import re

from scripts.gen_metrics import ROOT, page

# Names of Postgres in the same manner.
ROLES_AND_DATABASES = {"hocket_app", "hocket_owner", "hocket_restored"}


def test_metrics_of_every_part_stand_in_the_page():
    text = page()
    assert "`hocket_<service>_rpc_duration_seconds` | histogram | `method`, `code`" in text
    assert "`livekit_active_rooms` | gauge" in text
    assert "`gen_ai.client.token.usage`" in text


def test_operations_name_only_metrics_that_exist():
    text = page()
    existing = set(re.findall(r"`(\w+)` \| (?:counter|gauge|histogram)", text))
    rpc = set(re.findall(r"`hocket_<service>(_rpc_\w+)`", text))
    named = set(re.findall(r"\bhocket_[a-z_]+", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")))
    missing = {
        name
        for name in named - ROLES_AND_DATABASES
        if re.sub(r"_(bucket|sum|count)$", "", name) not in existing and not any(name.endswith(r) for r in rpc)
    }
    assert missing == set()
