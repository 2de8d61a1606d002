"""deploy/docker/Dockerfile: what it copies exists, what it takes is documented, and the image runs unprivileged."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
# Instructions without comments, one a line.
INSTRUCTIONS = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)).splitlines()
FINAL = INSTRUCTIONS[max(i for i, line in enumerate(INSTRUCTIONS) if line.startswith("FROM")) :]


def arguments(instruction):
    return [line.partition(" ")[2] for line in INSTRUCTIONS if line.startswith(instruction + " ")]


def test_both_stages_have_the_base_that_the_argument_names():
    assert [line.split()[0] for line in arguments("FROM")] == ["${PYTHON_IMAGE}"] * 2
    assert "ARG PYTHON_IMAGE=python:3.13-slim-bookworm" in INSTRUCTIONS


def test_every_argument_is_documented():
    comments = "\n".join(line for line in DOCKERFILE.splitlines() if line.startswith("#"))
    names = {name.partition("=")[0] for name in arguments("ARG")} - {"UV_VERSION"}
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", comments)] == []


def test_what_is_copied_exists_and_reaches_the_build():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [part for line in arguments("COPY") if "--from" not in line for part in line.split()[:-1]]
    assert copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert path in allowed


def test_the_image_runs_unprivileged_and_gets_the_signals_itself():
    assert "USER 10001:10001" in FINAL
    assert 'ENTRYPOINT ["serve"]' in FINAL
    assert "STOPSIGNAL SIGTERM" in FINAL


def test_labels_are_those_of_the_oci():
    (label,) = [line for line in FINAL if line.startswith("LABEL")]
    keys = set(re.findall(r"org\.opencontainers\.image\.([a-z.]+)=", label))
    assert keys == {
        *("title", "description", "version", "revision", "created", "source", "licenses"),
        *("base.name", "base.digest"),
    }
