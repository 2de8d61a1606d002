"""The ordinary user that Postgres runs as below a mesh of root."""

from __future__ import annotations

import pwd

import pytest

from local.embedded import unprivileged
from local.errors import LocalError


def entry(name, uid):
    return pwd.struct_passwd((name, "x", uid, uid, "", "/", "/bin/sh"))


@pytest.fixture
def root_on_linux(monkeypatch):
    monkeypatch.setattr(unprivileged.os, "geteuid", lambda: 0)
    monkeypatch.setattr(unprivileged.sys, "platform", "linux")


async def test_an_ordinary_user_needs_no_prefix(monkeypatch):
    monkeypatch.setattr(unprivileged.os, "geteuid", lambda: 1000)
    assert await unprivileged.unprivileged_user() is None


def test_nobody_is_preferred_whatever_its_number():
    entries = [entry("root", 0), entry("daemon", 1), entry("nobody", 99), entry("ada", 1000)]
    assert unprivileged._ordinary_user(entries).pw_uid == 99


def test_without_nobody_another_user_serves():
    assert unprivileged._ordinary_user([entry("root", 0), entry("a", 5), entry("b", 7)]).pw_name == "b"


def test_a_machine_with_root_alone_is_an_error_with_a_remedy():
    with pytest.raises(LocalError, match="no other user: start the mesh as another user, or set DATABASE_URL"):
        unprivileged._ordinary_user([entry("root", 0), entry("toor", 0)])


async def test_root_without_setpriv_is_an_error_with_a_remedy(root_on_linux, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LocalError, match="no setpriv .package util-linux.: start the mesh as another user"):
        await unprivileged.unprivileged_user()


async def test_a_setpriv_that_fails_is_named_with_its_reason(root_on_linux, monkeypatch, tmp_path):
    tool = tmp_path / "setpriv"
    tool.write_text("#!/bin/sh\necho 'setpriv: set process securebits failed: Operation not permitted' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(LocalError, match="cannot start Postgres as the user .*securebits failed") as caught:
        await unprivileged.unprivileged_user()
    assert "\n" not in str(caught.value)
