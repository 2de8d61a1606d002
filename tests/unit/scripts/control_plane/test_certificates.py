"""The authority of a test cluster."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from scripts.control_plane.certificates import Authority


def certificate(folder, name):
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


def test_certificate_is_signed_by_the_authority_and_names_user_group_and_hosts(tmp_path):
    authority = Authority(tmp_path)
    authority.issue("admin", "admin", groups=("system:masters",), hosts=("127.0.0.1", "localhost"))
    found = certificate(tmp_path, "admin")
    found.verify_directly_issued_by(certificate(tmp_path, "ca"))
    names = {attribute.oid: attribute.value for attribute in found.subject}
    assert names == {NameOID.ORGANIZATION_NAME: "system:masters", NameOID.COMMON_NAME: "admin"}
    hosts = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(host.value) for host in hosts] == ["127.0.0.1", "localhost"]
    key = load_pem_private_key((tmp_path / "admin.key").read_bytes(), None)
    assert key.public_key() == found.public_key()


def test_signing_key_has_a_public_part(tmp_path):
    Authority(tmp_path).issue_signing_key("tokens")
    assert b"BEGIN PUBLIC KEY" in (tmp_path / "tokens.pub").read_bytes()
    assert load_pem_private_key((tmp_path / "tokens.key").read_bytes(), None)
