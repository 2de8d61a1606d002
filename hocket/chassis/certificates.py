"""PEM files of one side of a connection, read again when they change: certificates and CAs rotate without a restart."""

from __future__ import annotations

import ssl
import time
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import structlog

# Age of the contents at which a busy connection compares them with the files again.
CHECK_INTERVAL_S = 1.0
FIRST_READS_MAX = 3
_FIRST_READ_PAUSE_S = 0.1
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pem:
    """Contents of the files, checked: the key belongs to the certificate.

    Attributes:
        ca: CA certificates that the other side is verified with; None if there is no such file.
        cert: Certificate of this side, with its chain; None if there is no such file.
        key: Private key of `cert`.
    """

    ca: bytes | None
    cert: bytes | None
    key: bytes | None

    @property
    def ca_expires_s(self) -> float | None:
        """Unix seconds from which no CA of the bundle is valid: during a rotation it holds the old one, too."""
        return max(_expiries(self.ca), default=None)

    @property
    def cert_expires_s(self) -> float | None:
        """Unix seconds from which the certificate, or another one of its chain, is not valid any more."""
        return min(_expiries(self.cert), default=None)


class CertificateFiles:
    """The newest usable contents of a certificate, its key and a CA. Half-written or mismatched files are not used.

    Attributes:
        paths: CA, certificate and key file, each or None.
        problem: Why the files as they are now are not used; "" if they are used.
    """

    def __init__(self, ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> None:
        """Read the files.

        Raises:
            OSError: A file is unreadable or not PEM, or the key is not that of the certificate.
        """
        self.paths = (ca_file, cert_file, key_file)
        self.problem = ""
        self._pem = self._first_read()
        self._read_at_s = time.monotonic()

    def current(self, *, age_max_s: float = CHECK_INTERVAL_S) -> Pem:
        """Return the contents in use; they are the same object until they change.

        Args:
            age_max_s: Seconds since the last comparison with the files after which to compare again; 0: always.
        """
        now_s = time.monotonic()
        if now_s - self._read_at_s >= age_max_s:
            # Contents are compared, not times of change: writers may keep those. Three files take 0.05 to 0.2 ms.
            self._read_at_s = now_s
            self._refresh()
        return self._pem

    def _first_read(self) -> Pem:
        # There is no previous pair if a room's process starts in the middle of a rotation.
        for _ in range(FIRST_READS_MAX - 1):
            try:
                return self._read()
            except OSError:
                time.sleep(_FIRST_READ_PAUSE_S)
        return self._read()

    def _refresh(self) -> None:
        try:
            found = self._read(known=self._pem)
        except OSError as error:
            # A rotation that is under way looks like this for a moment; the next comparison may find it complete.
            if str(error) != self.problem:
                self.problem = str(error)
                _log.warning("certificates not reloaded; the previous ones stay in use", problem=self.problem)
            return
        self.problem = ""
        if found is not self._pem:
            self._pem = found
            _log.info("certificates reloaded", files=[str(path) for path in self.paths if path])

    def _read(self, known: Pem | None = None) -> Pem:
        """Return the contents of the files, `known` if they are the same."""
        found = Pem(*(path.read_bytes() if path else None for path in self.paths))
        if known is not None and found == known:
            return known
        ca_file, cert_file, key_file = self.paths
        if found.ca is not None:
            _check_ca(found.ca, ca_file)
        if found.cert is not None:
            _check_pair(found, cert_file, key_file)
        return found


@cache
def shared_files(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> CertificateFiles:
    """Return the files, one object for all connections of this process. Raises OSError as `CertificateFiles` does."""
    return CertificateFiles(ca_file, cert_file, key_file)


# cryptography is imported on use: most clients have no certificates, and it takes longer than the rest of a client.


def _check_ca(content: bytes, path: Path | None) -> None:
    try:
        # OpenSSL reads old authorities, which break a rule of today, as gRPC does; cryptography refuses some.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("latin-1"))
    except ssl.SSLError as error:
        raise OSError(f"{path} holds no PEM certificate, or a cut one; write it complete with its last line") from error


def _check_pair(pem: Pem, cert_file: Path | None, key_file: Path | None) -> None:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        of_cert = x509.load_pem_x509_certificates(pem.cert or b"")[0].public_key()
    except ValueError as error:
        raise OSError(
            f"{cert_file} holds no PEM certificate, or a cut one; write it complete with its last line"
        ) from error
    try:
        of_key = load_pem_private_key(pem.key or b"", password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise OSError(f"{key_file} is not a PEM private key without a passphrase; write one") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if of_cert.public_bytes(*form) != of_key.public_bytes(*form):
        raise OSError(f"{key_file} is not the key of {cert_file}; write both files of one issue")


def _expiries(content: bytes | None) -> list[float]:
    if content is None:
        return []
    from cryptography import x509

    with warnings.catch_warnings():
        # An authority that breaks a rule of today, in a bundle of many.
        warnings.simplefilter("ignore")
        return [each.not_valid_after_utc.timestamp() for each in x509.load_pem_x509_certificates(content)]
