"""One tenant's answers do not take the places of another's."""

from __future__ import annotations

import pytest

from services.llm_router.admission.concurrency import TenantAnswers
from services.llm_router.errors import TooManyAnswers


def test_each_tenant_has_places_of_its_own_and_gets_them_back():
    answers = TenantAnswers(2)
    with answers.one_more("acme"), answers.one_more("acme"), answers.one_more("globex"):
        with pytest.raises(TooManyAnswers) as caught, answers.one_more("acme"):
            pass
    assert caught.value.reason == "OVERLOADED"
    with answers.one_more("acme"), answers.one_more("acme"):
        pass


def test_a_place_is_given_back_when_the_answer_fails():
    answers = TenantAnswers(1)
    with pytest.raises(RuntimeError), answers.one_more("acme"):
        raise RuntimeError
    with answers.one_more("acme"):
        pass
