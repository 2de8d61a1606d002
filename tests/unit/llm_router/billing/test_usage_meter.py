"""Reported usage counts; unreported output is counted or estimated."""

from __future__ import annotations

import pytest

from services.llm_router.billing import usage_meter as module
from services.llm_router.billing.usage_meter import UsageMeter
from services.llm_router.chat.events import TOKENS_MAX, Usage, UsageUpdate
from services.llm_router.errors import FailureKind, ModelFailure


def meter(*events: UsageUpdate | str) -> UsageMeter:
    made = UsageMeter(prompt_tokens=100)
    for event in events:
        made.add_output(event) if isinstance(event, str) else made.report(event)
    return made


def test_a_vendor_without_any_response_is_silent():
    assert meter().vendor_silent
    assert not meter("x").vendor_silent
    assert not meter(UsageUpdate(Usage(1))).vendor_silent
    assert meter().total() == (Usage(), False)


def test_the_last_report_counts():
    made = meter(UsageUpdate(Usage(9, output_tokens=1), "m-001"), "words", UsageUpdate(Usage(9, output_tokens=7)))
    assert (made.total(), made.served_model, made.unreported_text) == ((Usage(9, output_tokens=7), False), "m-001", "")


def test_output_since_the_last_report_is_estimated_until_counted():
    made = meter(UsageUpdate(Usage(9, output_tokens=1)), "a" * 36)
    assert made.total() == (Usage(9, output_tokens=11), True)
    made.set_counted(14)
    assert made.total() == (Usage(9, output_tokens=15), True)
    made.set_counted(None)
    assert made.total() == (Usage(9, output_tokens=11), True)


def test_usage_of_the_prompt_only_leaves_output_estimated():
    made = meter("a" * 36, UsageUpdate(Usage(9), output_reported=False))
    assert made.total() == (Usage(9, output_tokens=10), True)


def test_without_usage_the_prompt_is_estimated_locally():
    assert meter("a" * 36).total() == (Usage(100, output_tokens=10), True)


@pytest.mark.parametrize("usage", [Usage(-1), Usage(9, output_tokens=TOKENS_MAX + 1)])
def test_an_implausible_count_is_ignored(usage: Usage):
    assert meter("a" * 36, UsageUpdate(usage)).total() == (Usage(100, output_tokens=10), True)


def test_endless_output_is_cut(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "UNREPORTED_CHARACTERS_MAX", 10)
    made = meter("a" * 10, UsageUpdate(Usage(9)), "a" * 10)
    with pytest.raises(ModelFailure) as caught:
        made.add_output("a")
    assert caught.value.kind is FailureKind.CUT
