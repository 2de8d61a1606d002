"""Bearer tokens: minted with a shared secret or a private key, verified with the secret or a JWKS that may rotate."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jwt

from hocket.chassis.errors import Unauthenticated
from hocket.chassis.identity import TENANT_TIERS, Identity
from hocket.chassis.key_set import KeyFile, KeySet, fetcher

AUDIENCE = "hocket"
SECRET_BYTES_MIN = 32  # RFC 7518 section 3.2: an HS256 key is at least as long as the hash.
_CLOCK_LEEWAY_S = 10
_ASYMMETRIC = ["RS256", "ES256", "EdDSA"]
_TENANT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def is_tenant_id(value: object) -> bool:
    """Whether `value` may name a tenant: 1 to 64 characters of [A-Za-z0-9_.-], the first a letter or digit."""
    return isinstance(value, str) and _TENANT_ID.fullmatch(value) is not None


def expires_at_s(token: str) -> float:
    """When a token ends (Unix seconds), by its own word; 0 where it does not say. Proves nothing: verify it first."""
    try:
        return float(jwt.decode(token, options={"verify_signature": False}).get("exp", 0))
    except (jwt.PyJWTError, TypeError, ValueError):
        return 0.0


class TokenMinter:
    """Signs tokens for calls into the mesh."""

    def __init__(
        self, key: str, *, algorithm: str = "HS256", key_id: str | None = None, issuer: str = AUDIENCE
    ) -> None:
        """Sign with a shared secret (HS256) or a PEM private key (RS256, ES256, EdDSA) named `key_id` in the JWKS."""
        self._key = key
        self._algorithm = algorithm
        self._headers = {"kid": key_id} if key_id else None
        self._issuer = issuer

    def mint(
        self,
        tenant_id: str,
        *,
        tenant_tier: str = "standard",
        caller: str,
        scopes: frozenset[str] = frozenset(),
        ttl_s: float = 3600,
        now: float | None = None,
    ) -> str:
        """A token for `tenant_id` that lives `ttl_s` seconds."""
        issued = time.time() if now is None else now
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": caller,
            "tenant_id": tenant_id,
            "tenant_tier": tenant_tier,
            "scope": " ".join(sorted(scopes)),
            "iat": int(issued),
            "exp": int(issued + ttl_s),
        }
        return jwt.encode(claims, self._key, algorithm=self._algorithm, headers=self._headers)

    def source(
        self, tenant_id: str, *, tenant_tier: str = "standard", caller: str, ttl_s: float = 600
    ) -> Callable[[], str]:
        """A function that gives a token for `tenant_id`, minted again when half of its life is over."""
        held: tuple[float, str] = (0.0, "")

        def token() -> str:
            nonlocal held
            now = time.time()
            if now >= held[0]:
                minted = self.mint(tenant_id, tenant_tier=tenant_tier, caller=caller, ttl_s=ttl_s, now=now)
                held = (now + ttl_s / 2, minted)
            return held[1]

        return token


class TokenVerifier:
    """Turns a bearer token into an Identity. With neither secret nor JWKS it refuses every token."""

    def __init__(
        self,
        *,
        secret: str | None = None,
        jwks_url: str | None = None,
        jwks_file: Path | None = None,
        issuer: str | None = None,
        jwks_refresh_s: float = 300,
    ) -> None:
        """Verify by shared secret, by JWKS from a URL (fetched again for an unknown key id), or by a JWKS file."""
        self._secret = secret
        self._keys: KeySet | KeyFile | None = None
        if jwks_url:
            self._keys = KeySet(fetcher(jwks_url), refresh_s=jwks_refresh_s)
        elif jwks_file:
            self._keys = KeyFile(jwks_file)
        self._issuer = issuer

    async def verify(self, token: str) -> Identity:
        """The identity that `token` proves. Raises Unauthenticated; Unavailable when the JWKS cannot be had."""
        try:
            key, algorithms = await self._key_for(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=algorithms,
                audience=AUDIENCE,
                issuer=self._issuer,
                leeway=_CLOCK_LEEWAY_S,
                options={"require": ["exp", "sub", "aud"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("the bearer token has expired; mint a new one", reason="TOKEN_EXPIRED") from error
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the bearer token is not valid: {error}", reason="TOKEN_INVALID") from error
        return _identity(claims, token)

    async def _key_for(self, token: str) -> tuple[str | jwt.PyJWK, list[str]]:
        header = jwt.get_unverified_header(token)
        algorithm, key_id = header.get("alg"), str(header.get("kid"))
        if algorithm == "HS256" and self._secret:
            return self._secret, ["HS256"]
        if algorithm in _ASYMMETRIC and self._keys:
            # The key knows its own algorithm: what the token says of it is not believed.
            return await self._keys.key(key_id), _ASYMMETRIC
        raise jwt.InvalidAlgorithmError(f"no key is configured for algorithm {algorithm!r}")


def _identity(claims: Mapping[str, Any], token: str) -> Identity:
    tenant_id, tier = claims.get("tenant_id"), claims.get("tenant_tier", "standard")
    if not is_tenant_id(tenant_id):
        raise Unauthenticated("the claim tenant_id is missing or malformed", reason="TOKEN_INVALID")
    if tier not in TENANT_TIERS:
        raise Unauthenticated(f"the claim tenant_tier must be one of {', '.join(TENANT_TIERS)}", reason="TOKEN_INVALID")
    scopes = frozenset(str(claims.get("scope", "")).split())
    return Identity(str(tenant_id), str(tier), str(claims["sub"]), scopes, token)
