"""Files that --check-config opens."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hocket.chassis.file_checks import file_problems
from hocket.chassis.settings import ServerSettings


class Settings(ServerSettings):
    files_written = frozenset({"jwks_file"})


def test_missing_files_are_named_by_variable_path_and_cause(tmp_path):
    missing = tmp_path / "missing.pem"
    names = ("tls_cert_file", "tls_key_file", "tls_client_ca_file", "peer_ca_file", "jwks_file")
    problems = file_problems(ServerSettings(**dict.fromkeys(names, missing)))
    assert sorted(line.partition(":")[0] for line in problems) == sorted(name.upper() for name in names)
    assert all(f"{missing}: No such file or directory" in line for line in problems)


def test_files_of_a_wrong_kind_are_refused(tmp_path):
    (tmp_path / "wrong").write_text("no certificate")
    (tmp_path / "key.pem").write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    settings = ServerSettings(
        tls_cert_file=tmp_path / "wrong", tls_key_file=tmp_path / "key.pem", peer_ca_file=tmp_path / "wrong"
    )
    assert [line.partition(":")[0] for line in file_problems(settings)] == [
        "TLS_CERT_FILE",
        "TLS_KEY_FILE",
        "PEER_CA_FILE",
    ]


@pytest.mark.parametrize("text", ["no JSON", "[]", json.dumps({"keys": []})])
def test_a_jwks_file_without_keys_is_refused(text, tmp_path):
    (tmp_path / "jwks").write_text(text)
    assert file_problems(ServerSettings(jwks_file=tmp_path / "jwks"))[0].startswith("JWKS_FILE: ")


def test_a_file_to_be_written_may_be_missing_but_not_its_folder(tmp_path):
    assert file_problems(Settings(jwks_file=tmp_path / "journal")) == []
    assert "is missing" in file_problems(Settings(jwks_file=tmp_path / "nowhere" / "journal"))[0]
