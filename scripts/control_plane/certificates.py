"""Keys and certificates of one cluster: an authority, and what it issues to servers and clients."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALID = dt.timedelta(days=2)
_CLOCK_SKEW = dt.timedelta(minutes=5)


class Authority:
    """A certificate authority whose files are in one folder; `ca.crt` is its own certificate."""

    def __init__(self, folder: Path) -> None:
        """Create the authority and write `ca.crt` and `ca.key` into `folder`, which must exist."""
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name("control-plane-ca", ())
        self._write("ca", self._key, self._sign(self._subject, self._key.public_key(), (), is_ca=True))

    def issue(self, file: str, common_name: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> None:
        """Write a key and a certificate, `<file>.key` and `<file>.crt`.

        Args:
            file: name of both files.
            common_name: the user name, as Kubernetes reads it.
            groups: groups of that user.
            hosts: names and addresses that a server has.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        self._write(file, key, self._sign(_name(common_name, groups), key.public_key(), hosts))

    def issue_signing_key(self, file: str) -> None:
        """Write a key pair for service account tokens, `<file>.key` and `<file>.pub`."""
        key = ec.generate_private_key(ec.SECP256R1())
        self.path(f"{file}.key").write_bytes(_pem(key))
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.path(f"{file}.pub").write_bytes(public)

    def path(self, file: str) -> Path:
        """Return the path of a file in the folder."""
        return self._folder / file

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, hosts: Sequence[str], *, is_ca: bool = False
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + _VALID)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, file: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.path(f"{file}.key").write_bytes(_pem(key))
        self.path(f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _name(common_name: str, groups: Sequence[str]) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
