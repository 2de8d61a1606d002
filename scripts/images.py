"""Build the images of the services, and write a bill of materials for each and dist/images.json.

    make images                                   # all, as hocket/<service>:<version of pyproject.toml>
    make images S="rag vision" VERSION=0.2.0-rc1 REGISTRY=registry.example PLATFORM=linux/arm64

Pulls the base and pins every build to the digest that it has then; dist/images.json records it. speech is built twice:
vendor-only, without GPL parts, and with the tag suffix -embedded. Needs a container engine with BuildKit.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from scripts.licences import identifiers, licence_of
from scripts.lock_file import PROJECT, ROOT, Lock
from scripts.repository import git, project_version, run
from scripts.sbom import bill_of_image

DIST = ROOT / "dist"
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
DOCUMENTS = "/opt/hocket/share/doc/hocket"
BASE = "python:3.13-slim-bookworm"
# Left out of every image by the Dockerfile.
WITHOUT = ("av",)


@dataclass(frozen=True, slots=True)
class Image:
    """One image.

    Attributes:
        service: Its service, for instance "llm-router".
        size_max_mb: Largest intended size with the base, in MB of 10^6 bytes.
        extras: Extras that are installed besides that of the service.
        suffix: End of the tag.
    """

    service: str
    size_max_mb: int
    extras: tuple[str, ...] = ()
    suffix: str = ""

    def tag(self, registry: str, version: str) -> str:
        """Return the full name, for instance registry.example/hocket/rag:0.1.0."""
        prefix = registry.rstrip("/") + "/" if registry else ""
        return f"{prefix}{PROJECT}/{self.service}:{version}{self.suffix}"

    def licences(self, lock: Lock) -> str:
        """Return the SPDX expression of everything that the image installs, for the label."""
        names = set[str]().union(*(lock.of_extra(extra) for extra in (self.service, *self.extras))) - {
            PROJECT,
            *WITHOUT,
        }
        # Of licences to choose from the first one.
        found = {one for name in names for one in identifiers(licence_of(name).partition(" OR ")[0])}
        return " AND ".join(["Apache-2.0", *sorted(found - {"Apache-2.0"})])


IMAGES = (
    Image("llm-router", 250),
    Image("media-gateway", 350),
    Image("rag", 250),
    Image("ratelimit", 250),
    Image("speech", 300),
    Image("speech", 350, ("speech-embedded",), "-embedded"),
    Image("vision", 250),
)


def main() -> None:
    """Build what the arguments name; exit with one line where no engine answers or a build fails."""
    parser = argparse.ArgumentParser(
        prog="make images", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    services = sorted({image.service for image in IMAGES})
    parser.add_argument("services", nargs="*", help=f"services to build; all of {', '.join(services)} by default")
    parser.add_argument("--version", default=project_version(), help="tag and label (default: %(default)s)")
    parser.add_argument("--registry", default="", help="prefix of the names, for instance registry.example/team")
    parser.add_argument("--platform", default="", help="for instance linux/arm64; the engine's own by default")
    parser.add_argument("--base", default=BASE, help="image with Python 3.13 (default: %(default)s)")
    parser.add_argument("--ca", type=Path, help="PEM authorities that the build needs, for networks with their own")
    parser.add_argument("--network", default="", help="network of the build, for instance host")
    options = parser.parse_args()
    nouns = [name.replace("_", "-") for name in options.services] or services
    unknown = sorted(set(nouns) - set(services))
    if unknown:
        sys.exit(f"no service {', '.join(unknown)}; choose from {', '.join(services)}")
    problem = engine_problem()
    if problem:
        sys.exit(f"cannot build images: {problem}")
    DIST.mkdir(exist_ok=True)
    build = Build(options.version, options.registry, options.platform, options.ca, options.network)
    base, digest = pinned(options.base, options.platform)
    print(f"base {base}" + ("" if digest else ": a local image without a digest"))
    built = [build.image(image, base, digest, options.base) for image in IMAGES if image.service in nouns]
    record = {"version": options.version, "base": options.base, "base_digest": digest, "images": built}
    (DIST / "images.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print("recorded in dist/images.json")


def engine_problem() -> str:
    """Return why no container engine answers, in one line; "" if one does."""
    docker = shutil.which("docker")
    if docker is None:
        return "no docker on PATH; install a container engine"
    done = subprocess.run((docker, "info"), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"no container engine answers ({(done.stderr.strip().splitlines() or ['docker info failed'])[-1]})"
    return ""


def pinned(base: str, platform: str) -> tuple[str, str]:
    """Return `base` with the digest that it has now, and the digest; the digest is "" for an image without registry."""
    if "@" in base:
        return base, base.partition("@")[2]
    options = ("--platform", platform) if platform else ()
    pulled = subprocess.run(("docker", "pull", "--quiet", *options, base), capture_output=True, text=True, check=False)
    found = subprocess.run(
        ("docker", "image", "inspect", "--format", "{{json .RepoDigests}}", base),
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0:
        reason = (pulled.stderr.strip().splitlines() or ["not found"])[-1]
        sys.exit(f"cannot pull {base}: {reason}; name another base: make images BASE_IMAGE=…")
    digests: list[str] = json.loads(found.stdout) or []
    digest = next((each.partition("@")[2] for each in digests), "")
    return (f"{base}@{digest}", digest) if digest else (base, "")


@dataclass(frozen=True, slots=True)
class Build:
    """Settings that all images share."""

    version: str
    registry: str = ""
    platform: str = ""
    ca: Path | None = None
    network: str = ""

    def image(self, image: Image, base: str, digest: str, base_name: str) -> dict[str, Any]:
        """Build one image and its bill of materials; return its row of dist/images.json."""
        tag = image.tag(self.registry, self.version)
        print(f"building {tag}", flush=True)
        run(*self.command(image, tag, base, digest, base_name), env=os.environ | {"DOCKER_BUILDKIT": "1"})
        size_mb = int(run("docker", "image", "inspect", "--format", "{{.Size}}", tag)) / 1e6
        identity = run("docker", "image", "inspect", "--format", "{{.Id}}", tag).strip()
        contents = contents_of(tag)
        refused = gpl_packages(contents) if not image.extras else []
        if refused:
            sys.exit(f"{tag} contains packages under the GPL: {', '.join(refused)}")
        file = f"{PROJECT}-{self.version}{image.suffix}-image-{image.service}.cdx.json"
        created = datetime.fromisoformat(git("log", "-1", "--format=%cI"))
        text = bill_of_image(contents, f"{PROJECT}/{image.service}", f"{self.version}{image.suffix}", created)
        (DIST / file).write_text(text + "\n", encoding="utf-8")
        over = f", more than the intended {image.size_max_mb} MB" if size_mb > image.size_max_mb else ""
        print(f"built {tag}: {size_mb:.0f} MB{over}, dist/{file}", flush=True)
        return {"tag": tag, "id": identity, "size_bytes": round(size_mb * 1e6), "sbom": file}

    def command(self, image: Image, tag: str, base: str, digest: str, base_name: str) -> Sequence[str]:
        """Return the command that builds `image` as `tag`."""
        arguments = {
            "SERVICE": image.service,
            "EXTRAS": " ".join(image.extras),
            "PYTHON_IMAGE": base,
            "BASE_NAME": base_name,
            "BASE_DIGEST": digest,
            "VERSION": f"{self.version}{image.suffix}",
            "REVISION": git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain") else ""),
            "CREATED": git("log", "-1", "--format=%cI"),
            "SOURCE": source_url(),
            "LICENSES": image.licences(Lock()),
        }
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        if self.platform:
            given.append(f"--platform={self.platform}")
        if self.network:
            given.append(f"--network={self.network}")
        if self.ca:
            given.append(f"--secret=id=ca,src={self.ca}")
        return ("docker", "build", "--file", str(DOCKERFILE), "--tag", tag, *given, str(ROOT))


def contents_of(tag: str) -> dict[str, Any]:
    """Return what scripts/image_contents.py has written into an image, without starting it."""
    container = run("docker", "create", tag).strip()
    try:
        copied = subprocess.run(
            ("docker", "cp", f"{container}:{DOCUMENTS}/contents.json", "-"), capture_output=True, check=True
        ).stdout
    finally:
        run("docker", "rm", container)
    # A tar archive of one file: 512 bytes of header, whose bytes 124 to 135 are the size in octal digits.
    size = int(copied[124:135], 8)
    return dict[str, Any](json.loads(copied[512 : 512 + size]))


def gpl_packages(contents: dict[str, Any]) -> list[str]:
    """Return the Python packages of an image that are under the GPL or AGPL, without an exception."""
    return [
        each["name"]
        for each in contents["packages"]
        if any(one.startswith(("GPL-", "AGPL-")) and " WITH " not in one for one in identifiers(each["licence"]))
    ]


def source_url() -> str:
    """Return the address of the repository that the clone came from, without credentials; "" if it has none."""
    url = subprocess.run(
        ("git", "config", "--get", "remote.origin.url"), cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return re.sub(r"//[^/@]*@", "//", url) if url.startswith("https://") else ""


def build_images(version: str) -> Iterator[str]:
    """Build every image for a release; yield what was skipped."""
    problem = engine_problem()
    if problem:
        yield f"images, because {problem}"
    else:
        run(sys.executable, "-m", "scripts.images", "--version", version)


if __name__ == "__main__":
    main()
