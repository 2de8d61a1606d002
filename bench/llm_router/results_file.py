"""Prints a benchmark table, and stores its rows in results.json, from which the tables in Markdown pages are made."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.json")


def add_store_option(parser: argparse.ArgumentParser) -> None:
    """Add the option `--store`."""
    parser.add_argument("--store", action="store_true", help=f"store the rows in {RESULTS.name} (see gen_benchmarks)")


def publish(name: str, rows: Sequence[Sequence[object]], *, store: bool) -> None:
    """Print table `name`, and with `store` replace its rows, date, machine and command in results.json.

    Columns and note stay as they are in the file.

    Raises:
        KeyError: results.json has no table of this name.
    """
    tables: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text(encoding="utf-8"))
    table = tables[name]
    cells = [[str(cell) for cell in row] for row in rows]
    for line in (table["columns"], ["---"] * len(table["columns"]), *cells):
        print(f"| {' | '.join(line)} |")
    if store:
        load = os.getloadavg()[0]
        table["measured"] = datetime.now(UTC).date().isoformat()
        table["machine"] = f"{os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}"
        module = Path(sys.argv[0]).stem
        options = [option for option in sys.argv[1:] if option != "--store"]
        table["command"] = shlex.join(["python", "-m", f"bench.llm_router.{module}", *options])
        table["rows"] = cells
        RESULTS.write_text(json.dumps(tables, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
