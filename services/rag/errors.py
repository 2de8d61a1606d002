"""What rag refuses, beyond a wrong field."""

from __future__ import annotations

from hocket.chassis.errors import FailedPrecondition, NotFound, PermissionDenied


def document_not_found() -> NotFound:
    """No such document in the caller's tenant; the same answer whether or not another tenant has one."""
    return NotFound("there is no such document; ListDocuments names those there are", reason="DOCUMENT_NOT_FOUND")


def tenant_mismatch() -> PermissionDenied:
    """The tenant to delete is not the token's."""
    return PermissionDenied(
        "confirm_tenant_id is not the tenant of the token; nothing was deleted", reason="TENANT_MISMATCH"
    )


def credentials_refused(vendor: str) -> FailedPrecondition:
    """The vendor does not take the key it is called with."""
    return FailedPrecondition(f"{vendor} refused the configured key", reason="VENDOR_CREDENTIALS")
