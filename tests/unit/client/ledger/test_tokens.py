"""TenantTokens returns a token that can record a tenant's events, also after the token of their RPC has expired."""

from __future__ import annotations

import time

import jwt
import pytest

from hocket.chassis.auth import TokenMinter
from hocket.chassis.identity import Identity
from hocket.client.ledger import EventOrigin, tokens
from hocket.client.ledger.tokens import TenantTokens

SECRET = "a-secret-of-32-bytes-for-tests-only!"
MINTER = TokenMinter(SECRET)


def minted(ttl_s: int) -> str:
    return MINTER.mint("acme", caller="test", ttl_s=ttl_s)


def caller(token: str, tenant_id: str = "acme") -> Identity:
    return Identity(tenant_id, "free", "test", token=token)


def test_without_a_minter_the_token_that_expires_last_is_used():
    store, short, long = TenantTokens(None), minted(60), minted(600)
    for token in (short, long, short):
        store.remember(caller(token))
    assert store.token_for(EventOrigin(short, "acme", "free")) == long


def test_an_unknown_tenant_uses_the_events_own_token():
    assert TenantTokens(None).token_for(EventOrigin("own", "acme", "free")) == "own"
    assert TenantTokens(MINTER).token_for(EventOrigin("own")) == "own"


def test_discarded_token_is_replaced_by_the_next_one():
    store, long, short = TenantTokens(None), minted(600), minted(60)
    store.remember(caller(long))
    store.discard("acme", "another token")
    assert store.token_for(EventOrigin("own", "acme", "free")) == long
    store.discard("acme", long)
    store.remember(caller(short))
    assert store.token_for(EventOrigin("own", "acme", "free")) == short


def test_refused_empty_token_of_an_unknown_tenant_is_ignored():
    store = TenantTokens(None)
    store.discard("acme", "")
    assert store.token_for(EventOrigin("own", "acme", "free")) == "own"


def test_minter_makes_tokens_of_the_tenant_and_its_tier():
    token = TenantTokens(MINTER).token_for(EventOrigin(minted(-60), "acme", "premium"))
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_aud": False})
    assert (claims["sub"], claims["tenant_id"], claims["tenant_tier"]) == ("cost-recorder", "acme", "premium")
    assert claims["exp"] > time.time()


def test_remembered_tenants_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tokens, "TENANTS_MAX", 2)
    store = TenantTokens(None)
    for tenant_id in ("a", "b", "c"):
        store.remember(caller(minted(600), tenant_id))
    assert store.token_for(EventOrigin("own", "a", "free")) == "own"
    assert store.token_for(EventOrigin("own", "c", "free")) != "own"
