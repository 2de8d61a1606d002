"""Minting and verification of tokens."""

from __future__ import annotations

import base64
import hmac
import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hocket.chassis.auth import TokenMinter, TokenVerifier, is_tenant_id
from hocket.chassis.errors import PermissionDenied, Unauthenticated, Unavailable
from hocket.chassis.identity import Identity
from hocket.chassis.settings import ServerSettings

SECRET = "a-secret-of-32-bytes-for-tests-only!"


def key_pair(key_id: str) -> tuple[str, dict[str, object]]:
    """A PEM private key and its public JWK."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return pem, {**jwk, "kid": key_id, "use": "sig", "alg": "ES256"}


def hs256(claims: dict[str, object], key: str) -> str:
    """Signed by hand: PyJWT refuses to use a public key as a secret, an attacker does not."""

    def base64url(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = ".".join(base64url(json.dumps(x).encode()) for x in ({"alg": "HS256", "kid": "one"}, claims))
    return f"{signed}.{base64url(hmac.digest(key.encode(), signed.encode(), 'sha256'))}"


async def test_a_minted_token_verifies_to_its_claims():
    token = TokenMinter(SECRET).mint("acme", tenant_tier="premium", caller="shop", scopes=frozenset({"rag.admin"}))
    identity = await TokenVerifier(secret=SECRET).verify(token)
    assert Identity("acme", "premium", "shop", frozenset({"rag.admin"}), token) == identity


async def test_a_key_added_to_the_jwks_file_verifies_at_once_and_a_removed_one_does_not(tmp_path):
    (old_pem, old_jwk), (new_pem, new_jwk) = key_pair("old"), key_pair("new")
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps({"keys": [old_jwk]}))
    verifier = TokenVerifier(jwks_file=keys)
    old = TokenMinter(old_pem, algorithm="ES256", key_id="old").mint("acme", caller="shop")
    new = TokenMinter(new_pem, algorithm="ES256", key_id="new").mint("acme", caller="shop")
    assert (await verifier.verify(old)).tenant_id == "acme"
    with pytest.raises(Unauthenticated):
        await verifier.verify(new)
    keys.write_text(json.dumps({"keys": [new_jwk]}))
    assert (await verifier.verify(new)).tenant_id == "acme"
    with pytest.raises(Unauthenticated):
        await verifier.verify(old)


async def test_alg_none_and_the_public_key_as_hs256_secret_are_refused(tmp_path):
    pem, jwk = key_pair("one")
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps({"keys": [jwk]}))
    claims = {"sub": "x", "aud": "hocket", "exp": 4102444800, "tenant_id": "acme"}
    unsigned = jwt.encode(claims, None, algorithm="none")
    confused = hs256(claims, json.dumps(jwk))
    for token in (unsigned, confused):
        with pytest.raises(Unauthenticated):
            await TokenVerifier(jwks_file=keys).verify(token)


async def test_a_token_with_another_algorithm_than_its_key_is_unauthenticated(tmp_path):
    _, jwk = key_pair("one")
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps({"keys": [jwk]}))
    stranger = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    token = TokenMinter(stranger.decode(), algorithm="RS256", key_id="one").mint("acme", caller="shop")
    with pytest.raises(Unauthenticated):
        await TokenVerifier(jwks_file=keys).verify(token)


@pytest.mark.parametrize("content", [None, "", "{", '{"keys": []}', "[]"])
async def test_an_unreadable_jwks_file_is_unavailable(tmp_path, content):
    pem, _ = key_pair("one")
    keys = tmp_path / "jwks.json"
    if content is not None:
        keys.write_text(content)
    with pytest.raises(Unavailable):
        await TokenVerifier(jwks_file=keys).verify(
            TokenMinter(pem, algorithm="ES256", key_id="one").mint("acme", caller="shop")
        )


async def test_a_token_of_another_issuer_or_audience_is_refused():
    token = TokenMinter(SECRET, issuer="elsewhere").mint("acme", caller="shop")
    assert (await TokenVerifier(secret=SECRET).verify(token)).tenant_id == "acme"
    with pytest.raises(Unauthenticated):
        await TokenVerifier(secret=SECRET, issuer="hocket").verify(token)
    claims = {"sub": "x", "aud": "another", "exp": 4102444800, "tenant_id": "acme"}
    with pytest.raises(Unauthenticated):
        await TokenVerifier(secret=SECRET).verify(jwt.encode(claims, SECRET, algorithm="HS256"))


@pytest.mark.parametrize("issuer", [None, "https://login.example"])
async def test_a_token_minted_from_settings_verifies_with_the_same_settings(issuer):
    settings = ServerSettings(jwt_secret=SECRET, jwt_issuer=issuer)
    token = settings.minter.mint("acme", caller="cost-recorder")
    assert (await TokenVerifier(secret=SECRET, issuer=issuer).verify(token)).caller == "cost-recorder"


@pytest.mark.parametrize("missing", ["exp", "sub", "aud", "tenant_id"])
async def test_a_token_without_a_required_claim_is_refused(missing):
    claims = {"sub": "x", "aud": "hocket", "exp": 4102444800, "tenant_id": "acme"}
    del claims[missing]
    with pytest.raises(Unauthenticated):
        await TokenVerifier(secret=SECRET).verify(jwt.encode(claims, SECRET, algorithm="HS256"))


def test_a_token_source_mints_again_after_half_of_the_lifetime(monkeypatch):
    now = 1000.0
    monkeypatch.setattr("hocket.chassis.auth.time.time", lambda: now)
    source = TokenMinter(SECRET).source("acme", caller="gateway", ttl_s=100)
    first = source()
    now = 1049.0
    assert first == source()
    now = 1050.0
    assert first != source()


@pytest.mark.parametrize("name", ["", "-acme", "a/b", "a b", "ä", "a" * 65, "a\n", None, 7])
def test_invalid_tenant_ids_are_refused(name):
    assert not is_tenant_id(name)
    assert is_tenant_id("Acme_1.eu-west")


def test_a_missing_scope_is_permission_denied():
    with pytest.raises(PermissionDenied, match="rag.admin") as caught:
        Identity("acme", "free", "shop").require_scope("rag.admin")
    assert caught.value.reason == "SCOPE_MISSING"
