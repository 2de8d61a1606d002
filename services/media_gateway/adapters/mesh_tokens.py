"""Bearer tokens for calls to the other services in a tenant's name."""

from __future__ import annotations

from collections.abc import Callable

from hocket.chassis.auth import TokenMinter
from services.media_gateway.config import MeshKey
from services.media_gateway.rooms.job_context import JobContext

CALLER = "media-gateway"


def tenant_token_source(key: MeshKey | None, job: JobContext) -> Callable[[], str]:
    """Return a function that mints tokens for the job's tenant.

    Args:
        key: Key to sign with, or None where no key is configured.
        job: Names the tenant and its tier.

    Returns:
        Function without arguments; its token is empty if `key` is None.
    """
    if key is None:
        return lambda: ""
    minter = TokenMinter(key.key, algorithm=key.algorithm, key_id=key.key_id, issuer=key.issuer)
    return minter.source(job.tenant_id, tenant_tier=job.tenant_tier, caller=CALLER)
