"""Write what an image contains: NOTICE with every licence text, and contents.json for its bill of materials.

A build step of deploy/docker/Dockerfile; runs with the environment's own Python and needs the standard library only.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from scripts.licences import PARTS, licence_of
from scripts.lock_file import PROJECT, ROOT

DPKG_STATUS = Path("/var/lib/dpkg/status")
# Where the source code of copyleft parts is.
SOURCES = {
    "espeakng-loader": "https://github.com/espeak-ng/espeak-ng and https://github.com/thewh1teagle/espeakng-loader",
    "av": "https://ffmpeg.org/download.html and https://github.com/PyAV-Org/pyav-ffmpeg",
}
PLACEHOLDERS = ROOT / "deploy" / "docker" / "placeholders"
_LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice|copyright|authors)", re.IGNORECASE)
INTRODUCTION = """\
The image of {service} contains the Python packages below, each under its own licence.

The packages of the base have theirs in /usr/share/doc/*/copyright and /usr/share/common-licenses,
Python itself in its file LICENSE.txt below /usr/local/lib.
"""


def main() -> None:
    """Write NOTICE, LICENSE and contents.json, and put placeholders where packages were left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service", required=True, help="name of the service, for instance llm-router")
    parser.add_argument("--into", type=Path, required=True, help="folder that is written")
    options = parser.parse_args()
    into: Path = options.into
    into.mkdir(parents=True, exist_ok=True)
    packages = sorted(distributions(), key=lambda each: each.name.lower())
    (into / "LICENSE").write_text((ROOT / "LICENSE").read_text(encoding="utf-8"), encoding="utf-8")
    (into / "NOTICE").write_text("\n".join(notice(options.service, packages)), encoding="utf-8")
    (into / "contents.json").write_text(json.dumps(contents(packages), indent=1) + "\n", encoding="utf-8")
    add_placeholders(packages)


def contents(packages: list[Distribution]) -> dict[str, Any]:
    """Return names, versions and licences of all packages, Python's and the base's."""
    status = DPKG_STATUS.read_text(encoding="utf-8") if DPKG_STATUS.exists() else ""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": [
            {"name": each.name, "version": each.version, "licence": licence_of(each.name)}
            for each in packages
            if each.name != PROJECT
        ],
        "debian": list(debian_packages(status)),
    }


def debian_packages(status: str) -> Iterator[dict[str, str]]:
    """Yield name, version and architecture of each installed package of dpkg's status file."""
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([A-Z][A-Za-z-]*): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            yield {"name": fields["Package"], "version": fields["Version"], "arch": fields["Architecture"]}


def notice(service: str, packages: list[Distribution]) -> Iterator[str]:
    """Yield the lines of NOTICE; a text that several packages share stands under the first one."""
    yield (ROOT / "NOTICE").read_text(encoding="utf-8")
    yield INTRODUCTION.format(service=service)
    first_under: dict[str, str] = {" ".join((ROOT / "LICENSE").read_text(encoding="utf-8").split()): "LICENSE"}
    for package in packages:
        if package.name == PROJECT:
            continue
        yield f"{'-' * 80}\n{package.name} {package.version}: {licence_of(package.name) or 'see below'}"
        yield from _homepage(package)
        if package.name in PARTS:
            part = PARTS[package.name]
            yield f"It contains {part.contains}, under {part.licence}."
        if package.name in SOURCES:
            yield f"Its source code: {SOURCES[package.name]}; the licence: /usr/share/common-licenses/GPL-3."
        texts = list(licence_texts(package))
        if not texts:
            yield "Its wheel has no licence file."
        for name, text in texts:
            key = " ".join(text.split())
            if key in first_under:
                yield f"{name}: the text of {first_under[key]}."
            else:
                first_under[key] = f"{package.name} ({name})"
                yield f"\n{name}:\n\n{text.strip()}\n"


def licence_texts(package: Distribution) -> Iterator[tuple[str, str]]:
    """Yield name and text of each licence, notice or list of authors that the package has brought."""
    for file in package.files or ():
        path = Path(str(file.locate()))
        if _LICENCE_FILE.search(file.name) and file.suffix not in {".py", ".pyc", ".pyi"} and path.is_file():
            yield file.name, path.read_text(encoding="utf-8", errors="replace")


def add_placeholders(packages: list[Distribution]) -> None:
    """Put a placeholder beside livekit-agents for each package of deploy/docker/placeholders that was left out."""
    installed = {each.name: each for each in packages}
    if "livekit-agents" not in installed:
        return
    site = Path(str(installed["livekit-agents"].locate_file("")))
    for placeholder in PLACEHOLDERS.iterdir():
        target = site / placeholder.name
        if not target.exists():
            target.mkdir()
            for file in placeholder.glob("*.py"):
                (target / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")


def _homepage(package: Distribution) -> Iterator[str]:
    urls: dict[str, str] = {}
    for label, _, url in (text.partition(",") for text in package.metadata.get_all("Project-URL") or ()):
        urls[label.strip().lower()] = url.strip()
    found = [urls[label] for label in ("homepage", "source", "source code", "repository", "github") if label in urls]
    yield from (found or package.metadata.get_all("Home-page") or [])[:1]


if __name__ == "__main__":
    main()
