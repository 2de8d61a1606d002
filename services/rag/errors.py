"""Errors of the rag service beyond invalid fields."""

from __future__ import annotations

from hocket.chassis.errors import FailedPrecondition, NotFound, PermissionDenied


def document_not_found(document_id: str) -> NotFound:
    """The caller's tenant has no such document. The error is the same if another tenant has one."""
    return NotFound(
        f"document {document_id!r} not found; ListDocuments returns the existing ids", reason="DOCUMENT_NOT_FOUND"
    )


def tenant_mismatch() -> PermissionDenied:
    """The tenant to delete is not the token's."""
    return PermissionDenied(
        "confirm_tenant_id is not the tenant of the token; nothing was deleted", reason="TENANT_MISMATCH"
    )


def credentials_refused(vendor: str) -> FailedPrecondition:
    """The vendor refused the configured API key."""
    return FailedPrecondition(f"{vendor} refused the configured API key; replace it", reason="VENDOR_CREDENTIALS")
