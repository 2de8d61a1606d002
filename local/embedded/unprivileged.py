"""Command prefix that runs Postgres as an ordinary user when the mesh runs as root.

Postgres refuses to run as root. Its folders may be below a folder of mode 0700 (the home of root in a container), so
the ordinary user keeps one capability, CAP_DAC_OVERRIDE, which ignores these modes. A changed folder mode would
remain after the mesh has stopped.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from local.errors import LocalError
from local.processes.commands import run_command

_PREFERRED_USERS = ("nobody", "daemon")
_PROBE_TIMEOUT_S = 60
_REMEDY = "start the mesh as another user, or set DATABASE_URL to an existing server"


@dataclass(frozen=True, slots=True)
class UnprivilegedUser:
    """An ordinary user and the command that starts a program as that user.

    Attributes:
        uid: owner of the files that the program must own.
        gid: group of those files.
        prefix: arguments to put before the program's own.
    """

    uid: int
    gid: int
    prefix: Sequence[str]


async def unprivileged_user() -> UnprivilegedUser | None:
    """Return the user that Postgres runs as, or None when the mesh itself is not root.

    Raises:
        LocalError: The mesh is root and cannot start a program as another user.
    """
    if os.geteuid() != 0:
        return None
    setpriv = shutil.which("setpriv")
    if sys.platform != "linux" or setpriv is None:
        raise LocalError(f"Postgres does not run as root, and setpriv (package util-linux) is missing; {_REMEDY}")
    entry = _ordinary_user(pwd.getpwall())
    prefix = (
        setpriv,
        f"--reuid={entry.pw_uid}",
        f"--regid={entry.pw_gid}",
        "--clear-groups",
        # initdb and postgres ask access(2) whether their files can be read. For a real user other than root that call
        # ignores capabilities unless this bit is set (kernel: access_override_creds in fs/open.c).
        "--securebits=+no_setuid_fixup",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        "--",
    )
    await run_command(
        (*prefix, "/bin/sh", "-c", ":"),
        action=f"cannot start Postgres as the user {entry.pw_name} ({_REMEDY})",
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        timeout_s=_PROBE_TIMEOUT_S,
    )
    return UnprivilegedUser(entry.pw_uid, entry.pw_gid, prefix)


def _ordinary_user(entries: Iterable[pwd.struct_passwd]) -> pwd.struct_passwd:
    ordinary = [entry for entry in entries if entry.pw_uid != 0]
    if not ordinary:
        # initdb looks up the user id in the password database and fails without an entry.
        raise LocalError(f"Postgres does not run as root, and this machine has no other user; {_REMEDY}")
    for name in _PREFERRED_USERS:
        for entry in ordinary:
            if entry.pw_name == name:
                return entry
    return max(ordinary, key=lambda entry: entry.pw_uid)
