"""Names, labels and checks of images; what happens without an engine."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scripts import images
from scripts.images import IMAGES, Build, Image, gpl_packages
from scripts.lock_file import ROOT, Lock

BY_NAME = {image.service + image.suffix: image for image in IMAGES}


def test_every_service_has_an_image():
    services = {path.parent.name.replace("_", "-") for path in (ROOT / "services").glob("*/__main__.py")}
    assert {image.service for image in IMAGES} == services


def test_a_tag_has_registry_version_and_suffix():
    image = Image("speech", 1, suffix="-embedded")
    assert image.tag("", "0.1.0") == "hocket/speech:0.1.0-embedded"
    assert image.tag("registry.example/team/", "1") == "registry.example/team/hocket/speech:1-embedded"


def test_labels_name_the_licences_of_everything_that_is_installed():
    lock = Lock()
    assert "GPL" not in BY_NAME["speech"].licences(lock)
    assert "GPL-3.0-or-later" in BY_NAME["speech-embedded"].licences(lock)
    assert "LicenseRef-LiveKit-Model" in BY_NAME["media-gateway"].licences(lock)
    for image in IMAGES:
        assert image.licences(lock).startswith("Apache-2.0 AND ")
        assert " OR " not in image.licences(lock)


def test_a_build_passes_each_label_and_option(monkeypatch):
    monkeypatch.setattr(images, "git", lambda *arguments: {"rev-parse": "abc", "status": "M x"}.get(arguments[0], "t"))
    build = Build("0.1.0", platform="linux/arm64", network="host")
    command = build.command(BY_NAME["speech-embedded"], "tag", "base@sha256:1", "sha256:1", "base")
    assert command[:2] == ("docker", "build")
    assert {
        *("--platform=linux/arm64", "--network=host", "--build-arg=SERVICE=speech"),
        *("--build-arg=EXTRAS=speech-embedded", "--build-arg=VERSION=0.1.0-embedded"),
        *("--build-arg=REVISION=abc-dirty", "--build-arg=PYTHON_IMAGE=base@sha256:1"),
        *("--build-arg=BASE_NAME=base", "--build-arg=BASE_DIGEST=sha256:1"),
    } <= set(command)
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    for argument in command:
        if argument.startswith("--build-arg="):
            assert f"ARG {argument.split('=')[1]}" in dockerfile


def test_a_base_is_pinned_by_the_digest_it_has(monkeypatch):
    answers = {"pull": "", "image": '["python@sha256:12"]'}
    monkeypatch.setattr(
        "scripts.images.subprocess.run", lambda c, **_: subprocess.CompletedProcess(c, 0, answers[c[1]], "")
    )
    assert images.pinned("python:3.13", "") == ("python:3.13@sha256:12", "sha256:12")
    assert images.pinned("python:3.13@sha256:9", "") == ("python:3.13@sha256:9", "sha256:9")
    answers["image"] = "null"
    assert images.pinned("python:3.13", "") == ("python:3.13", "")


def test_gpl_packages_are_found_but_not_those_with_an_exception():
    licences = {"a": "MIT AND GPL-3.0-or-later", "b": "GPL-3.0-or-later WITH GCC-exception-3.1", "c": "LGPL-2.1-only"}
    assert gpl_packages({"packages": [{"name": n, "licence": text} for n, text in licences.items()]}) == ["a"]


@pytest.mark.parametrize("docker", [None, "/usr/bin/docker"])
def test_without_an_engine_one_line_says_so(monkeypatch, docker):
    refused = subprocess.CompletedProcess((), 1, "", "warning\nIs the docker daemon running?\n")
    monkeypatch.setattr("scripts.images.shutil.which", lambda _name: docker)
    monkeypatch.setattr("scripts.images.subprocess.run", lambda *_a, **_k: refused)
    monkeypatch.setattr(sys, "argv", ["images"])
    with pytest.raises(SystemExit, match=r"^cannot build images: no [^\n]*$"):
        images.main()


def test_an_unknown_service_is_named(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["images", "sppech"])
    with pytest.raises(SystemExit, match="no service sppech; choose from llm-router"):
        images.main()


def test_credentials_of_the_remote_are_not_published(monkeypatch):
    for url, expected in (("https://u:secret@example.org/a.git", "https://example.org/a.git"), ("git@x:a.git", "")):
        done = subprocess.CompletedProcess((), 0, url + "\n", "")
        monkeypatch.setattr("scripts.images.subprocess.run", lambda *_a, _done=done, **_k: _done)
        assert images.source_url() == expected
