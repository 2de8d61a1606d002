"""Build a release into dist/: wheel, sdist, bills of materials, images and charts, then tag it. Publishes nothing.

The version is in pyproject.toml. CHANGELOG.md must have a section for it and nothing unreleased; the working tree must
be clean. What a machine cannot build (no container engine) is skipped and named in the last lines.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from scripts import package_charts
from scripts.images import build_images
from scripts.lock_file import EXTRAS, PROJECT, ROOT, Lock
from scripts.repository import git, project_version, run
from scripts.sbom import bill_of_materials

DIST = ROOT / "dist"
_VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
_SECTION = re.compile(
    r"^## \[(?P<name>[^\]]+)\](?: - (?P<date>\S+))?\n(?P<body>.*?)(?=^## \[|\Z)", re.MULTILINE | re.DOTALL
)


def main() -> None:
    """Check, build and tag; exit with a line for each thing that is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-tag", action="store_true", help="build only; the working tree may have changes")
    no_tag: bool = parser.parse_args().no_tag
    version = project_version()
    wrong = [*changelog_problems((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)]
    if not no_tag:
        wrong += tree_problems(version)
    if wrong:
        sys.exit(f"cannot release {version}:\n  " + "\n  ".join(wrong))
    shutil.rmtree(DIST, ignore_errors=True)
    build_distributions(version)
    build_charts(version)
    skipped = [*build_images(version)]
    write_checksums()
    if not no_tag and not git("tag", "--list", f"v{version}"):
        git("tag", "--annotate", f"v{version}", "--message", f"{PROJECT} {version}")
    for path in sorted(DIST.iterdir()):
        print(f"  dist/{path.name}")
    for line in skipped:
        print(f"skipped: {line}")
    print(f"{PROJECT} {version} is built{'' if no_tag else f' and tagged v{version}'}; nothing was published")


def changelog_problems(changelog: str, version: str) -> Iterator[str]:
    """Yield what is wrong with `version`, or with CHANGELOG.md for it."""
    if not _VERSION.fullmatch(version):
        yield f"version {version} in pyproject.toml is not MAJOR.MINOR.PATCH"
    sections = {found["name"]: found for found in _SECTION.finditer(changelog)}
    if version not in sections:
        yield f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD`"
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", sections[version]["date"] or ""):
        yield f"the section [{version}] of CHANGELOG.md has no date"
    elif "- " not in sections[version]["body"]:
        yield f"the section [{version}] of CHANGELOG.md lists no change"
    if "Unreleased" in sections and "- " in sections["Unreleased"]["body"]:
        yield f"CHANGELOG.md lists unreleased changes; move them to [{version}] or raise the version"


def tree_problems(version: str) -> Iterator[str]:
    """Yield what in the working tree keeps `version` from being tagged."""
    if git("status", "--porcelain"):
        yield "the working tree has changes; commit them"
    if git("tag", "--list", f"v{version}") and git("rev-parse", f"v{version}^{{commit}}") != git("rev-parse", "HEAD"):
        yield f"the tag v{version} names another commit; raise the version in pyproject.toml"


def build_distributions(version: str) -> None:
    """Build wheel, sdist, and a bill of materials for each extra."""
    env = {k: v for k, v in os.environ.items() if k != "HOCKET_SERVICE"}
    run(os.environ.get("UV", "uv"), "build", "--quiet", "--out-dir", str(DIST), env=env)
    (DIST / ".gitignore").unlink(missing_ok=True)
    lock, committed_at = Lock(), datetime.fromtimestamp(int(git("log", "-1", "--format=%ct")), UTC)
    for extra in EXTRAS:
        text = bill_of_materials(lock, extra, version, committed_at)
        (DIST / f"{PROJECT}-{version}-{extra}.cdx.json").write_text(text + "\n", encoding="utf-8")


def build_charts(version: str) -> None:
    """Lint and package the Helm charts; exit with what is wrong."""
    wrong = [line for name in package_charts.APPLICATIONS for line in package_charts.problems(name)]
    if wrong:
        sys.exit("charts:\n  " + "\n  ".join(wrong))
    for _ in package_charts.package_all(DIST, version):
        pass


def write_checksums() -> None:
    """Write the SHA-256 of every file of dist/, as `sha256sum --check` reads it."""
    files = sorted(path for path in DIST.iterdir() if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (DIST / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
