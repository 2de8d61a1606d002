"""No package of the lock has to be compiled: a machine with Python and make needs no C compiler."""

from __future__ import annotations

import tomllib

import pytest
from packaging.markers import Marker
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from scripts.lock_file import PROJECT, ROOT

ENTRIES = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
PLATFORMS = {
    # glibc 2.28 is that of Debian 10 and RHEL 8.
    ("linux", "x86_64"): ["manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64"]
    + [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)],
    ("linux", "aarch64"): ["manylinux2014_aarch64"] + [f"manylinux_2_{minor}_aarch64" for minor in range(28, 16, -1)],
}
# PocketSphinx has no wheel for Python 3.12 on ARM.
COMPILED = {("pocketsphinx", (3, 12), "aarch64")}


def environment(python: tuple[int, int], system: str, machine: str) -> dict[str, str]:
    version = ".".join(map(str, python))
    return {
        "python_version": version,
        "python_full_version": f"{version}.9",
        "sys_platform": system,
        "platform_system": system.capitalize(),
        "platform_machine": machine,
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def installed(environment: dict[str, str]) -> list[dict]:
    """Entries that `make test` installs in `environment`: all extras and all groups."""

    def applies(required: dict) -> bool:
        return "marker" not in required or Marker(required["marker"]).evaluate(environment)

    def matching(required: dict) -> list[dict]:
        found = [e for e in ENTRIES if e["name"] == required["name"]]
        return [e for e in found if len(found) == 1 or e["version"] == required["version"]]

    (project,) = (e for e in ENTRIES if e["name"] == PROJECT)
    waiting = [*project["dependencies"]]
    for section in ("optional-dependencies", "dev-dependencies"):
        waiting += [r for required in project[section].values() for r in required]
    seen: dict[tuple[str, tuple[str, ...]], list[dict]] = {}
    while waiting:
        required = waiting.pop()
        key = (required["name"] + required.get("version", ""), tuple(required.get("extra", ())))
        if required["name"] == PROJECT or key in seen or not applies(required):
            continue
        seen[key] = matching(required)
        for entry in seen[key]:
            waiting += entry.get("dependencies", ())
            for extra in key[1]:
                waiting += entry.get("optional-dependencies", {}).get(extra, ())
    return [entry for entries in seen.values() for entry in entries]


@pytest.mark.parametrize("platform", PLATFORMS, ids="-".join)
@pytest.mark.parametrize("python", [(3, 11), (3, 12), (3, 13)], ids=lambda p: f"python{p[0]}.{p[1]}")
def test_every_package_has_a_wheel(python, platform):
    platforms = PLATFORMS[platform]
    supported = {
        *cpython_tags(python, platforms=platforms),
        *compatible_tags(python, interpreter=f"cp{python[0]}{python[1]}", platforms=platforms),
    }
    packages = installed(environment(python, *platform))
    assert len(packages) > 100
    missing = {
        entry["name"] for entry in packages if not any(tags(wheel) & supported for wheel in entry.get("wheels", ()))
    }
    assert missing == {name for name, version, machine in COMPILED if (version, machine) == (python, platform[1])}


def tags(wheel: dict) -> frozenset:
    return parse_wheel_filename(wheel["url"].rpartition("/")[2])[3]
