"""The measured numbers of bench.vision: one JSON file that `--json` writes and scripts/gen_benchmarks.py renders."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

PATH = Path(__file__).with_name("results.json")


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--json` to a benchmark's arguments."""
    parser.add_argument("--json", action="store_true", help=f"also store the table in {PATH.name}, for the documents")


def store(
    name: str, command: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, note: str = "", write: bool
) -> None:
    """Replace one table in results.json.

    Args:
        name: Name of the table, as in `<!-- bench:NAME -->`.
        command: Command that measured it.
        columns: Column titles with units.
        rows: Cells by row.
        note: One sentence on the load or the clips.
        write: Value of `--json`; False stores nothing.
    """
    if not write:
        return
    tables = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    tables[name] = {
        "measured": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores of {_processor()}, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f}",
        "command": command,
        "note": note,
        "columns": list(columns),
        "rows": [[str(cell) for cell in row] for row in rows],
    }
    PATH.write_text(json.dumps(tables, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
