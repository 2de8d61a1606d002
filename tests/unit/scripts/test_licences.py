"""Licences outside the allow list need a description; unknown ones are refused."""

from __future__ import annotations

from scripts.licences import PARTS, identifiers, refused
from scripts.lock_file import EXTRAS, Lock


def test_an_expression_is_split_into_its_licences():
    assert identifiers("(MIT OR Apache-2.0) AND BSD-3-Clause") == {"MIT", "Apache-2.0", "BSD-3-Clause"}
    assert identifiers("GPL-3.0-or-later WITH GCC-exception-3.1") == {"GPL-3.0-or-later WITH GCC-exception-3.1"}


def test_one_allowed_choice_is_enough():
    assert refused({"some-package": "GPL-3.0-only OR MIT"}) == []


def test_an_unknown_or_copyleft_licence_is_refused():
    assert "no known licence" in refused({"some-package": ""})[0]
    assert "not on the allow list" in refused({"some-package": "MIT AND GPL-3.0-only"})[0]


def test_a_described_package_is_allowed():
    assert "espeakng-loader" in PARTS
    assert refused({"espeakng-loader": "MIT AND GPL-3.0-or-later"}) == []


def test_every_extra_of_the_lock_is_resolved():
    lock = Lock()
    assert "grpcio" in lock.of_extra("client")
    assert "livekit-agents" not in lock.of_extra("client")
    assert {user for package in lock.packages() for user in package.users} == {*EXTRAS, "dev"}
