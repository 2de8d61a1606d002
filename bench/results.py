"""Tables of measured numbers: a benchmark stores them with `--json`; scripts/gen_benchmarks.py renders the pages."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).parent
Rows = Sequence[Sequence[object]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table that one benchmark measures.

    Attributes:
        part: Folder of bench/ whose results.json holds the table.
        name: Name as in `<!-- bench:NAME -->`; unique among all parts.
        columns: Titles with units.
        note: Sentences on the load and the method; may be empty.
        command: Command that measures it; empty for the command line of this process.
    """

    part: str
    name: str
    columns: Sequence[str]
    note: str = ""
    command: str = ""

    def publish(self, rows: Rows, *, write: bool, folder: Path = FOLDER) -> None:
        """Print the table and store it; arguments as in `store`."""
        for row in (self.columns, ["---"] * len(self.columns), *rows):
            print(f"| {' | '.join(str(cell) for cell in row)} |")
        self.store(rows, write=write, folder=folder)

    def store(self, rows: Rows, *, write: bool, folder: Path = FOLDER) -> None:
        """Replace the table in results.json, with today's date and this machine.

        Args:
            rows: Cells by row.
            write: Value of `--json`; False stores nothing.
            folder: Folder of the parts.

        Raises:
            ValueError: A row has more or fewer cells than there are columns.
        """
        for row in rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.name}: {len(row)} cells for {len(self.columns)} columns in {list(row)}")
        if not write:
            return
        path = folder / self.part / "results.json"
        tables = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        tables[self.name] = {
            "measured": datetime.now(UTC).date().isoformat(),
            "machine": f"{os.cpu_count()} cores of {_processor()}, Python {platform.python_version()},"
            f" load {os.getloadavg()[0]:.1f}",
            "command": self.command or command_line(sys.argv),
            "note": self.note,
            "columns": list(self.columns),
            "rows": [[str(cell) for cell in row] for row in rows],
        }
        path.write_text(json.dumps(tables, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def command_line(arguments: Sequence[str]) -> str:
    """Return the command of `sys.argv` without `--json`; PATH stands for each path, so that pages show no local one."""
    module = Path(arguments[0]).resolve().relative_to(FOLDER.parent).with_suffix("")
    names = module.parent.parts if module.name == "__main__" else module.parts
    options = ["PATH" if os.sep in word or Path(word).exists() else word for word in arguments[1:] if word != "--json"]
    return shlex.join(["python", "-m", ".".join(names), *options])


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json` to the arguments of a benchmark."""
    parser.add_argument(
        "--json", action="store_true", help="store the rows in results.json, from which `make docs` renders the pages"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
