"""NOTICE and list of contents of an image."""

from __future__ import annotations

from importlib.metadata import distribution
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scripts import image_contents
from scripts.image_contents import add_placeholders, contents, debian_packages, licence_texts, notice
from scripts.lock_file import EXTRAS, ROOT, Lock

STATUS = """\
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2
Description: GNU Bourne Again SHell
 Version: of a shell

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""
# Their wheels have no licence file; NOTICE points to the text.
WITHOUT_TEXT = {"espeakng-loader", "livekit-api", "livekit-protocol"}


def test_installed_debian_packages_are_listed():
    assert list(debian_packages(STATUS)) == [{"name": "bash", "version": "5.2.15-2", "arch": "amd64"}]


def test_every_package_stands_with_its_licence_and_a_shared_text_once():
    packages = [distribution(name) for name in ("grpcio", "grpcio-status", "espeakng-loader", "numpy")]
    text = "\n".join(notice("speech", packages))
    for package in packages:
        assert f"{package.name} {package.version}: " in text
    assert text.count("Copyright 2014 gRPC authors") <= 1
    assert "GPL-3.0-or-later" in text
    assert "https://github.com/espeak-ng/espeak-ng" in text
    assert "Copyright (c) 2005" in text  # numpy's own licence


@pytest.mark.parametrize("extra", [e for e in EXTRAS if e not in {"client", "local"}])
def test_packages_without_a_licence_text_are_known(extra):
    installed = {name: _distribution(name) for name in Lock().of_extra(extra) - {"hocket"}}
    missing = {name for name, package in installed.items() if package and not list(licence_texts(package))}
    assert missing <= WITHOUT_TEXT


def _distribution(name):
    try:
        return distribution(name)
    except ImportError:  # for another Python or platform
        return None


def test_contents_have_versions_and_licences():
    listed = contents([distribution("grpcio"), distribution("hocket")])
    assert [(p["name"], p["licence"]) for p in listed["packages"]] == [("grpcio", "Apache-2.0")]
    assert listed["python"].startswith("3.")


def test_a_placeholder_stands_for_a_package_that_was_left_out(tmp_path):
    agents = cast("Any", SimpleNamespace(name="livekit-agents", locate_file=lambda _path: tmp_path))
    add_placeholders([agents])
    assert sorted(p.name for p in (tmp_path / "av").iterdir()) == ["__init__.py", "container.py"]
    (tmp_path / "av" / "__init__.py").write_text("real")
    add_placeholders([agents])
    assert (tmp_path / "av" / "__init__.py").read_text() == "real"


def test_placeholders_are_those_that_the_dockerfile_leaves_out():
    names = {p.name for p in image_contents.PLACEHOLDERS.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert f'ARG WITHOUT="{" ".join(sorted(names))}"' in (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
