"""Fetching a JWKS over HTTP: rotation, and issuers that never end, are too large, redirect or fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hocket.chassis import key_set
from hocket.chassis.auth import TokenMinter, TokenVerifier
from hocket.chassis.errors import Unauthenticated
from tests.fakes.waiting import POLL_S


def signing_key(key_id: str) -> tuple[str, dict[str, object]]:
    """Return a private key and its JWK."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return pem, {**jwk, "kid": key_id, "use": "sig", "alg": "ES256"}


class Issuer:
    """An HTTP server whose response a test chooses."""

    def __init__(self) -> None:
        self.status, self.body, self.endless = 200, b"", False
        self.ended = threading.Event()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(issuer.status)
                if issuer.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(issuer.body)
                while issuer.endless and not issuer.ended.wait(POLL_S):
                    try:
                        self.wfile.write(b" ")
                    except OSError:
                        return

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(POLL_S,))
        self.thread.start()

    def publish(self, *keys: dict[str, object]) -> None:
        self.body = json.dumps({"keys": keys}).encode()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.ended.set()
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


async def test_tokens_of_a_new_key_verify_and_those_of_a_withdrawn_one_do_not(issuer, monkeypatch):
    monkeypatch.setattr(key_set, "FETCH_INTERVAL_S_MIN", 0)
    (old_pem, old), (new_pem, new) = signing_key("old"), signing_key("new")
    issuer.publish(old)
    verifier = TokenVerifier(jwks_url=issuer.url)
    old_token = TokenMinter(old_pem, algorithm="ES256", key_id="old").mint("acme", caller="shop")
    new_token = TokenMinter(new_pem, algorithm="ES256", key_id="new").mint("acme", caller="shop")
    assert (await verifier.verify(old_token)).tenant_id == "acme"
    issuer.publish(new)
    assert (await verifier.verify(new_token)).tenant_id == "acme"
    with pytest.raises(Unauthenticated):
        await verifier.verify(old_token)


def test_an_issuer_that_never_ends_is_given_up(issuer, monkeypatch):
    monkeypatch.setattr(key_set, "FETCH_TIMEOUT_S", 0.3)
    issuer.endless = True
    with pytest.raises(jwt.PyJWKClientConnectionError, match=r"TimeoutError"):
        key_set.fetcher(issuer.url)()


def test_a_response_above_the_limit_is_refused(issuer):
    issuer.body = b" " * (key_set.KEY_SET_BYTES_MAX + 1)
    with pytest.raises(jwt.PyJWKClientConnectionError, match=r"more than 1048576 bytes"):
        key_set.fetcher(issuer.url)()


@pytest.mark.parametrize(("status", "body"), [(500, b""), (302, b""), (200, b"<html>"), (200, b"[]"), (200, b"")])
def test_a_response_without_keys_is_an_error(issuer, status, body):
    issuer.status, issuer.body = status, body
    with pytest.raises(jwt.PyJWTError):
        key_set.fetcher(issuer.url)()


def test_keys_for_encryption_and_keys_without_an_id_are_left_out(issuer):
    (_, signing), (_, encryption), (_, nameless) = (signing_key(name) for name in ("a", "b", "c"))
    issuer.publish(signing, {**encryption, "use": "enc"}, {k: v for k, v in nameless.items() if k != "kid"})
    assert list(key_set.fetcher(issuer.url)()) == ["a"]
