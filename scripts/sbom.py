"""The bill of materials of what an extra installs, as CycloneDX JSON."""

from __future__ import annotations

import uuid
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


def _component(name: str, version: str, licence: str, component_type: object) -> Any:
    purl = PackageURL("pypi", None, name, version)
    licences = [cyclonedx_licenses.LicenseFactory().make_from_string(licence)] if licence else []
    return _Component(name=name, version=version, type=component_type, purl=purl, bom_ref=str(purl), licenses=licences)
