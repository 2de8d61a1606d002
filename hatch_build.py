"""Build hook: what goes into a wheel besides the library `hocket`.

The published wheel is the library alone: `hocket.*` and Envoy's stubs. `HOCKET_SERVICE=llm_router` builds the wheel of
one image instead: the library, that service's package and its command `hocket-llm-router`. An editable install (a
clone's `.venv`) gets every command and imports the services from the clone.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Installers replace `#!python` by the interpreter of the environment (PyPA specification of binary distributions).
# Child processes of multiprocessing run the file again under another name.
_COMMAND = """#!python
import sys
{first}
if __name__ == "__main__":
    from {package}.__main__ import main

    sys.exit(main())
"""
# A signal to PID 1 without a handler is lost; the imports of a service take seconds.
_SIGNALS_FIRST = """
from hocket.chassis.stop_signals import end_at_once

if __name__ == "__main__":
    end_at_once()
"""


class CommandsBuildHook(BuildHookInterface[Any]):
    """Adds commands, and for an image the package of its service."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Extend `build_data` before the wheel is written.

        Args:
            version: "editable" or "standard".
            build_data: hatchling's description of the wheel.

        Raises:
            ValueError: HOCKET_SERVICE names no folder of `services/`.
        """
        services = Path(self.root, "services")
        names = sorted(folder.parent.name for folder in services.glob("*/__main__.py"))
        wanted = os.environ.get("HOCKET_SERVICE", "")
        if version == "editable":
            packages = [*(f"services.{name}" for name in names), "local"]
        elif not wanted:
            packages = []
        elif wanted in names:
            packages = [f"services.{wanted}"]
            build_data["force_include"][str(services / wanted)] = f"services/{wanted}"
        else:
            raise ValueError(f"HOCKET_SERVICE={wanted!r} is no service; choose one of {', '.join(names)}")
        # An object rather than mkdtemp(): a failed build skips finalize, and the folder then goes with the process.
        self._scratch = tempfile.TemporaryDirectory(prefix="hocket-commands-")
        for package in packages:
            command = "hocket-" + package.rpartition(".")[2].replace("_", "-")
            file = Path(self._scratch.name, command)
            first = _SIGNALS_FIRST if package.startswith("services.") else ""
            file.write_text(_COMMAND.format(package=package, first=first), encoding="utf-8")
            build_data["shared_scripts"][str(file)] = command

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - the interface of hatchling
        """Delete the temporary folder of the commands: the wheel contains them."""
        self._scratch.cleanup()
