"""Run README's commands as a stranger would: in a fresh clone of HEAD, with an empty home folder and empty caches.

    python scripts/fresh_clone.py                     make demo and make test, as the user that calls
    python scripts/fresh_clone.py --closed            below a folder of mode 0700, like the home of root in a container
    python scripts/fresh_clone.py --user nobody       as an ordinary user (needs root and setpriv)
    python scripts/fresh_clone.py --python python3.12 --target test
    python scripts/fresh_clone.py --folder "my clöne" --target demo

Only PATH, the locale and the package index of pip and uv are passed on. Exits with 1 when a command fails; the clone is
then kept and its place printed.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TERM", "CI")
_PASSED_PREFIXES = ("PIP_", "UV_", "GOPROXY", "GOFLAGS", "GOSUMDB", "SSL_", "REQUESTS_CA_BUNDLE", "OPENBLAS_")


@dataclass(frozen=True, slots=True)
class Clone:
    """A fresh clone and how commands run in it.

    Attributes:
        folder: the clone.
        prefix: arguments before each command; they change the user.
        env: the whole environment of each command.
    """

    folder: Path
    prefix: Sequence[str]
    env: Mapping[str, str]

    def run(self, *command: str) -> bool:
        """Run a command, print how long it took, and return whether it succeeded."""
        began_s = time.monotonic()
        print(f"fresh: {' '.join(command)} in {self.folder}", flush=True)
        code = subprocess.run((*self.prefix, *command), cwd=self.folder, env=dict(self.env), check=False).returncode
        print(f"fresh: {' '.join(command)} ended with {code} after {time.monotonic() - began_s:.0f} s", flush=True)
        return code == 0


def main() -> None:
    """Be the command."""
    given = _arguments()
    top = Path(tempfile.mkdtemp(prefix="hocket-fresh-"))
    top.chmod(0o700 if given.closed else 0o755)
    clone = _make_clone(top, given)
    python = (f"PYTHON={given.python}",) if given.python else ()
    failed = [target for target in given.target or ("demo", "test") if not clone.run("make", target, *python)]
    if failed:
        sys.exit(f"fresh: failed: {', '.join(failed)}; the clone is kept in {clone.folder}")
    shutil.rmtree(top, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--target", action="append", metavar="TARGET", help="make target; repeat it (default: demo, test)"
    )
    parser.add_argument("--python", metavar="PYTHON", help="interpreter to pass to make")
    parser.add_argument("--closed", action="store_true", help="put the clone below a folder of mode 0700")
    parser.add_argument("--user", metavar="NAME", help="run as this user")
    parser.add_argument("--folder", default="clone", metavar="NAME", help="name of the clone's folder (default: clone)")
    parser.add_argument(
        "--share-caches", action="store_true", help="use this user's caches of uv and of the LiveKit server: quicker"
    )
    return parser.parse_args()


def _make_clone(top: Path, given: argparse.Namespace) -> Clone:
    folder, home = top / given.folder, top / "home"
    subprocess.run(("git", "clone", "--quiet", "--no-local", str(ROOT), str(folder)), check=True)
    home.mkdir()
    env = {k: v for k, v in os.environ.items() if k in _PASSED_ON or k.startswith(_PASSED_PREFIXES)}
    # The environment of the clone that runs this script is not the fresh one's.
    env = {k: v for k, v in env.items() if k not in {"UV", "UV_PROJECT_ENVIRONMENT", "UV_CACHE_DIR"}} | {
        "HOME": str(home)
    }
    if given.share_caches:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        env["UV_CACHE_DIR"] = os.environ.get("UV_CACHE_DIR", str(cache / "uv"))
        for server in cache.glob("hocket/livekit-server-*[0-9]"):
            target = home / ".cache" / "hocket" / server.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(server, target)
    prefix: Sequence[str] = ()
    if given.user:
        user = pwd.getpwnam(given.user)
        for path in (top, *top.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
        prefix = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--")
    return Clone(folder, prefix, env)


if __name__ == "__main__":
    main()
