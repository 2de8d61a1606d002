"""Bearer tokens: minting with a shared secret or private key, verification with the secret or a rotating JWKS."""

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
SECRET_BYTES_MIN = 32  # RFC 7518 section 3.2: an HS256 key has at least the length of the hash
_CLOCK_LEEWAY_S = 10
_ASYMMETRIC = ["RS256", "ES256", "EdDSA"]
_TENANT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def is_tenant_id(value: object) -> bool:
    """Return whether `value` is a valid tenant id: 1 to 64 of [A-Za-z0-9_.-], a letter or digit first."""
    return isinstance(value, str) and _TENANT_ID.fullmatch(value) is not None


def expires_at_s(token: str) -> float:
    """Return the expiry of a token in Unix seconds, 0 without one; verify the token first, this checks no signature."""
    try:
        return float(jwt.decode(token, options={"verify_signature": False}).get("exp", 0))
    except (jwt.PyJWTError, TypeError, ValueError):
        return 0.0


class TokenMinter:
    """Signs bearer tokens for calls into the mesh."""

    def __init__(
        self, key: str, *, algorithm: str = "HS256", key_id: str | None = None, issuer: str = AUDIENCE
    ) -> None:
        """Configure the signature.

        Args:
            key: Shared secret of at least 32 bytes (HS256), or a PEM private key.
            algorithm: HS256, RS256, ES256 or EdDSA.
            key_id: Id of the public key in the JWKS; None for HS256.
            issuer: Claim `iss`; the services may require one.
        """
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
        """Return a signed token.

        Args:
            tenant_id: Tenant that the call belongs to.
            tenant_tier: "free", "standard" or "premium"; chooses the tenant's limits.
            caller: Name of the calling service or person, for logs.
            scopes: Scopes of privileged RPCs, for instance "rag.admin".
            ttl_s: Lifetime in seconds.
            now: Time of issue in Unix seconds; None for the system clock.
        """
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
        """Return a token source for `MeshChannel`; it mints a new token after half of `ttl_s` seconds."""
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
    """Verifies bearer tokens. Without secret and JWKS every token is refused."""

    def __init__(
        self,
        *,
        secret: str | None = None,
        jwks_url: str | None = None,
        jwks_file: Path | None = None,
        issuer: str | None = None,
        jwks_refresh_s: float = 300,
    ) -> None:
        """Configure the keys.

        Args:
            secret: Shared secret of HS256 tokens.
            jwks_url: URL of the JWKS; fetched again when it is `jwks_refresh_s` old, and for an unknown key id.
            jwks_file: JWKS file instead of a URL; read again on change.
            issuer: Required claim `iss`; None accepts any issuer.
            jwks_refresh_s: Age in seconds at which the JWKS is fetched again.
        """
        self._secret = secret
        self._keys: KeySet | KeyFile | None = None
        if jwks_url:
            self._keys = KeySet(fetcher(jwks_url), refresh_s=jwks_refresh_s)
        elif jwks_file:
            self._keys = KeyFile(jwks_file)
        self._issuer = issuer

    async def verify(self, token: str) -> Identity:
        """Return the identity in the claims of `token`.

        Raises:
            Unauthenticated: TOKEN_EXPIRED, or TOKEN_INVALID for a wrong signature or a missing claim.
            Unavailable: No key is known and the JWKS cannot be fetched.
        """
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
            # PyJWK checks with the algorithm of the key: the token's own `alg` is not trusted.
            return await self._keys.key(key_id), _ASYMMETRIC
        raise jwt.InvalidAlgorithmError(f"no key is configured for algorithm {algorithm!r}")


def _identity(claims: Mapping[str, Any], token: str) -> Identity:
    tenant_id, tier = claims.get("tenant_id"), claims.get("tenant_tier", "standard")
    if not is_tenant_id(tenant_id):
        raise Unauthenticated(
            "the claim tenant_id must be 1 to 64 characters of [A-Za-z0-9_.-]; mint the token with one",
            reason="TOKEN_INVALID",
        )
    if tier not in TENANT_TIERS:
        raise Unauthenticated(f"the claim tenant_tier must be one of {', '.join(TENANT_TIERS)}", reason="TOKEN_INVALID")
    scopes = frozenset(str(claims.get("scope", "")).split())
    return Identity(str(tenant_id), str(tier), str(claims["sub"]), scopes, token)
