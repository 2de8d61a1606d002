"""Checks of `--check-config`: the files that the settings name are opened as the service will open them."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

import jwt
from cryptography import x509

from hocket.chassis.key_set import key_ids
from hocket.chassis.settings import ServerSettings, variables


def file_problems(settings: ServerSettings) -> list[str]:
    """Return one line for each file that is missing, unreadable, or of the wrong kind: variable, path, cause."""
    lines: list[str] = []
    names = zip(type(settings).model_fields, variables(type(settings)), strict=True)
    for name, (variable, _) in names:
        path = getattr(settings, name)
        if not isinstance(path, Path) or (name in settings.files_optional and not path.exists()):
            continue
        try:
            _check(settings, name, path)
        except ssl.SSLError as error:
            lines.append(
                f"{variable}: {path}: {error.reason or error}; it must be PEM, and a key that of its certificate"
            )
        except OSError as error:
            lines.append(f"{variable}: {path}: {error.strerror or error}; correct the path or its permissions")
        except (ValueError, jwt.PyJWTError) as error:
            lines.append(f"{variable}: {path}: {error}")
    return lines


def _check(settings: ServerSettings, name: str, path: Path) -> None:
    if name in settings.files_written:
        _check_writable(path)
        return
    with path.open("rb") as file:
        content = file.read()
    if name == "jwks_file" and not key_ids(content.decode()):
        raise ValueError("has no key; write a JWKS with the issuer's public keys")
    if name.endswith("_ca_file"):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    if name in {"tls_key_file", "peer_key_file"}:
        certificate = settings.tls_cert_file if name == "tls_key_file" else settings.peer_cert_file
        if certificate and certificate.is_file():
            # A key with a passphrase fails; without `password` OpenSSL would ask for it on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, path, password="")
    if name in {"tls_cert_file", "peer_cert_file"}:
        expires = min(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(content))
        if expires <= datetime.now(UTC):
            raise ValueError(f"expired at {expires.isoformat()}; replace it")


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(None, "is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(None, f"the folder {path.parent} is missing")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(None, "is not writable")
