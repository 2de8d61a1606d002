"""The concurrency slots of one tenant are independent of another's."""

from __future__ import annotations

import pytest

from services.llm_router.admission.concurrency import TenantConcurrency
from services.llm_router.errors import TooManyAnswers


def test_each_tenant_has_its_own_slots_and_gets_them_back():
    answers = TenantConcurrency(2)
    with answers.slot("acme"), answers.slot("acme"), answers.slot("globex"):
        with pytest.raises(TooManyAnswers) as caught, answers.slot("acme"):
            pass
    assert caught.value.reason == "OVERLOADED"
    with answers.slot("acme"), answers.slot("acme"):
        pass


def test_a_slot_is_released_when_the_answer_fails():
    answers = TenantConcurrency(1)
    with pytest.raises(RuntimeError), answers.slot("acme"):
        raise RuntimeError
    with answers.slot("acme"):
        pass
