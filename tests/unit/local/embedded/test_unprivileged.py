"""Command prefix that runs Postgres as an ordinary user under root."""

from __future__ import annotations

import pwd

import pytest

from local.embedded import unprivileged
from local.errors import LocalError


def entry(name, uid):
    return pwd.struct_passwd((name, "x", uid, uid, "", "/", "/bin/sh"))


@pytest.fixture
def root_on_linux(monkeypatch):
    monkeypatch.setattr(unprivileged.os, "geteuid", lambda: 0)  # type: ignore[attr-defined]
    monkeypatch.setattr(unprivileged.sys, "platform", "linux")  # type: ignore[attr-defined]


async def test_no_prefix_when_not_root(monkeypatch):
    monkeypatch.setattr(unprivileged.os, "geteuid", lambda: 1000)  # type: ignore[attr-defined]
    assert await unprivileged.unprivileged_user() is None


def test_user_nobody_is_preferred():
    entries = [entry("root", 0), entry("daemon", 1), entry("nobody", 99), entry("ada", 1000)]
    assert unprivileged._ordinary_user(entries).pw_uid == 99


def test_highest_uid_is_used_without_a_preferred_user():
    assert unprivileged._ordinary_user([entry("root", 0), entry("a", 5), entry("b", 7)]).pw_name == "b"


def test_error_without_an_ordinary_user():
    with pytest.raises(LocalError, match="no other user; start the mesh as another user, or set DATABASE_URL"):
        unprivileged._ordinary_user([entry("root", 0), entry("toor", 0)])


async def test_error_without_setpriv(root_on_linux, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LocalError, match="setpriv .package util-linux. is missing; start the mesh as another user"):
        await unprivileged.unprivileged_user()


async def test_error_of_setpriv_is_reported(root_on_linux, monkeypatch, tmp_path):
    tool = tmp_path / "setpriv"
    tool.write_text("#!/bin/sh\necho 'setpriv: set process securebits failed: Operation not permitted' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(LocalError, match="cannot start Postgres as the user .*securebits failed") as caught:
        await unprivileged.unprivileged_user()
    assert "\n" not in str(caught.value)
