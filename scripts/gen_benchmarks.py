"""Write benchmark tables into Markdown pages from bench/*/results.json; --check fails where a page is stale.

A page holds `<!-- bench:NAME -->` and `<!-- /bench -->`; the text between them is replaced by the table NAME. A results
file maps each NAME to an object: `measured` (date), `machine`, `command`, `note`, `columns` and `rows`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("*.md", "docs/**/*.md", "bench/**/*.md", "services/*/README.md")
_SECTION = re.compile(r"<!-- bench:(?P<name>[\w-]+) -->\n.*?<!-- /bench -->", re.DOTALL)


class Unknown(Exception):
    """A page names a table that no results file has."""


def main() -> None:
    """Write the pages, or with --check compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail when a page is stale, write nothing")
    check: bool = parser.parse_args().check
    tables = read_tables()
    stale: list[str] = []
    for path in sorted({path for pattern in PAGES for path in ROOT.glob(pattern)}):
        text = path.read_text(encoding="utf-8")
        try:
            wanted = rendered_page(text, tables)
        except Unknown as error:
            sys.exit(f"{path.relative_to(ROOT)}: no bench/*/results.json has a table {error}")
        if wanted == text:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if not check:
            path.write_text(wanted, encoding="utf-8")
    if check and stale:
        sys.exit(f"stale benchmark tables in {', '.join(stale)}: run `make docs`")


def read_tables() -> dict[str, dict[str, Any]]:
    """Return all tables by name."""
    tables: dict[str, dict[str, Any]] = {}
    for path in sorted(ROOT.glob("bench/*/results.json")):
        tables |= json.loads(path.read_text(encoding="utf-8"))
    return tables


def rendered_page(text: str, tables: dict[str, dict[str, Any]]) -> str:
    """Return a page with the current table in each section.

    Raises:
        Unknown: A section names no known table.
    """

    def section(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in tables:
            raise Unknown(name)
        return f"<!-- bench:{name} -->\n{rendered_table(tables[name])}<!-- /bench -->"

    return _SECTION.sub(section, text)


def rendered_table(table: dict[str, Any]) -> str:
    """Return a table and its caption as Markdown."""
    columns: list[str] = table["columns"]
    lines = [_line(columns), _line(["---"] * len(columns)), *(_line(row) for row in table["rows"])]
    note = f"{table['note']} " if table.get("note") else ""
    caption = f"{note}Measured {table['measured']} on {table['machine']}: `{table['command']}`."
    return "\n".join(["", *lines, "", caption, "", ""])


def _line(cells: Sequence[str]) -> str:
    return "|" + "".join(f" {str(cell).replace('|', '&#124;')} |" for cell in cells)


if __name__ == "__main__":
    main()
