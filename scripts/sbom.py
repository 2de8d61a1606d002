"""Bills of materials of what an extra installs and of what an image contains, as CycloneDX JSON."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import cyclonedx.contrib.license.factories as cyclonedx_licenses
import cyclonedx.model.bom as cyclonedx_bom
import cyclonedx.model.component as cyclonedx_component
import cyclonedx.output.json as cyclonedx_json
from packageurl import PackageURL

from scripts.licences import licence_of
from scripts.lock_file import PROJECT, Lock

# Decorators of the library hide the signatures of these classes from type checkers.
_Bom = cast("Any", cyclonedx_bom.Bom)
_Component = cast("Any", cyclonedx_component.Component)
_ComponentType = cast("Any", cyclonedx_component.ComponentType)
LICENCE = "Apache-2.0"


def bill_of_materials(lock: Lock, extra: str, version: str, released_at: datetime) -> str:
    """Return the components that `hocket[extra]` installs, with licences and what requires what.

    Args:
        lock: The locked packages.
        extra: An extra of hocket, for instance "client" or "llm-router".
        version: The version of hocket.
        released_at: Time of the release, with a time zone; the same inputs give the same text.
    """
    bom = _Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{PROJECT}[{extra}]@{version}"))
    bom.metadata.timestamp = released_at
    root = _component(PROJECT, version, LICENCE, _ComponentType.APPLICATION)
    bom.metadata.component = root
    installed = lock.of_extra(extra)
    by_name = {
        each.name: [_component(each.name, v, licence_of(each.name), _ComponentType.LIBRARY) for v in each.versions]
        for each in lock.packages()
        if each.name in installed
    }
    for name, versions in by_name.items():
        required = [one for other in lock.requirements(name) if other in by_name for one in by_name[other]]
        for each in versions:
            bom.components.add(each)
            bom.register_dependency(each, required)
    # The extra installs them all; the lock does not tell which of them hocket's own code imports.
    bom.register_dependency(root, [one for versions in by_name.values() for one in versions])
    return cyclonedx_json.JsonV1Dot6(bom).output_as_string(indent=2)


def bill_of_image(contents: Mapping[str, Any], name: str, version: str, created_at: datetime) -> str:
    """Return the components of an image: Python, its packages and the Debian packages of the base.

    Args:
        contents: What scripts/image_contents.py has written into the image.
        name: Name of the image, for instance "hocket/rag".
        version: Its tag.
        created_at: Time of the commit, with a time zone; the same inputs give the same text.
    """
    bom = _Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{name}:{version}:{contents['machine']}"))
    bom.metadata.timestamp = created_at
    root = _component(name, version, LICENCE, _ComponentType.CONTAINER, "generic")
    bom.metadata.component = root
    parts = [
        _component("python", contents["python"], "PSF-2.0", _ComponentType.APPLICATION, "generic"),
        *(_component(p["name"], p["version"], p["licence"], _ComponentType.LIBRARY) for p in contents["packages"]),
        *(_debian_component(each) for each in contents["debian"]),
    ]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(root, parts)
    return cyclonedx_json.JsonV1Dot6(bom).output_as_string(indent=2)


def _component(name: str, version: str, licence: str, component_type: object, purl_type: str = "pypi") -> Any:
    purl = PackageURL(purl_type, None, name, version)
    licences = [cyclonedx_licenses.LicenseFactory().make_from_string(licence)] if licence else []
    return _Component(name=name, version=version, type=component_type, purl=purl, bom_ref=str(purl), licenses=licences)


def _debian_component(package: Mapping[str, str]) -> Any:
    name, version = package["name"], package["version"]
    purl = PackageURL("deb", "debian", name, version, {"arch": package["arch"]})
    return _Component(name=name, version=version, type=_ComponentType.LIBRARY, purl=purl, bom_ref=str(purl))
