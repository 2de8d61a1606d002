"""Expiry of the certificates in use: a gauge for each, and a readiness check that names expired ones."""

from __future__ import annotations

from datetime import UTC, datetime

from prometheus_client import Gauge

from hocket.chassis.certificates import CertificateFiles, Pem
from hocket.chassis.clock import Clock, SystemClock
from hocket.chassis.errors import Unavailable

EXPIRY = Gauge(
    "hocket_certificate_expiry_timestamp_seconds",
    "Expiry in Unix seconds of the certificate in use: server or client (first of its chain to expire), client_ca or "
    "server_ca (last of the bundle to expire), the CAs that the server and its outgoing calls trust.",
    ["certificate"],
)
AGE_S_MAX = 1.0


class CertificateExpiry:
    """Follows the certificates of this process.

    An expired one makes the service not ready: no new handshake succeeds with it, and where it is the client's, limits
    and costs would be dropped silently. Connections that are open go on.
    """

    def __init__(
        self, *, server: CertificateFiles | None, client: CertificateFiles | None, clock: Clock | None = None
    ) -> None:
        """Follow certificates.

        Args:
            server: Files of the server; None without TLS.
            client: Files of the calls to other services; None without TLS.
            clock: Source of the time; None for the system's.
        """
        named = ((server, "client_ca", "server"), (client, "server_ca", "client"))
        self._held = [_Held(files, ca, own) for files, ca, own in named if files]
        self._clock = clock or SystemClock()

    async def check(self) -> None:
        """Readiness check; updates the gauge. Raises Unavailable, naming each expired certificate and its file."""
        expired: list[str] = []
        for held in self._held:
            for name, path, expires_s in held.expiries():
                EXPIRY.labels(name).set(expires_s)
                if expires_s <= self._clock.time():
                    at = datetime.fromtimestamp(expires_s, UTC).isoformat()
                    unused = f" (not used: {held.files.problem})" if held.files.problem else ""
                    expired.append(f"{name} certificate {path} expired at {at}; replace the file{unused}")
        if expired:
            raise Unavailable("; ".join(expired))


class _Held:
    """Files of one side, with the expiries of their contents."""

    def __init__(self, files: CertificateFiles, ca_name: str, own_name: str) -> None:
        self.files = files
        self._names = (ca_name, own_name)
        self._pem: Pem | None = None
        self._expiries: list[tuple[str, str, float]] = []

    def expiries(self) -> list[tuple[str, str, float]]:
        """Return name, file and expiry in Unix seconds of each certificate."""
        pem = self.files.current(age_max_s=AGE_S_MAX)
        if pem is not self._pem:
            # Parsed on change only: a bundle of public authorities takes 10 ms.
            self._pem = pem
            found = zip(self._names, self.files.paths, (pem.ca_expires_s, pem.cert_expires_s), strict=False)
            self._expiries = [(name, str(path), at) for name, path, at in found if at is not None]
        return self._expiries
