"""Tables that benchmarks store, and those in the results files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from bench import results
from bench.llm_router import apgr, cancel, conversations, latency, mix, replay, starts
from bench.ratelimit import __main__ as ratelimit
from bench.results import FOLDER, Table, add_json_option, command_line
from bench.speech import round_trip
from bench.voice import __main__ as voice

TABLE = Table("part", "speed", ("policy", "µs"), "Ten runs.", "python -m bench.part")
STORED = (
    *(apgr.TABLE, cancel.TABLE, latency.TABLE, latency.SUMMARY, mix.TABLE, replay.TABLE, starts.TABLE),
    *(conversations.ROWS_TABLE, conversations.SUMMARY_TABLE),
    *(ratelimit.TABLE, round_trip.TABLE, voice.TABLE, voice.UNDER_LOAD),
)


def test_stored_and_printed_rows_are_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "part").mkdir()
    stored = tmp_path / "part" / "results.json"
    stored.write_text('{"other": {}}', encoding="utf-8")
    TABLE.publish([["timer", 1.5]], write=True, folder=tmp_path)
    tables = json.loads(stored.read_text(encoding="utf-8"))
    assert tables["other"] == {}
    assert tables["speed"] | {"measured": "", "machine": ""} == {
        "measured": "",
        "machine": "",
        "command": "python -m bench.part",
        "note": "Ten runs.",
        "columns": ["policy", "µs"],
        "rows": [["timer", "1.5"]],
    }
    assert capsys.readouterr().out == "| policy | µs |\n| --- | --- |\n| timer | 1.5 |\n"


def test_nothing_is_stored_without_the_option(tmp_path: Path):
    TABLE.store([["timer", 1.5]], write=False, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    parser = argparse.ArgumentParser()
    add_json_option(parser)
    assert parser.parse_args([]).json is False
    assert parser.parse_args(["--json"]).json is True


def test_a_row_of_another_width_is_named():
    with pytest.raises(ValueError, match="table speed: 1 cells for 2 columns"):
        TABLE.store([["timer"]], write=False)


def test_a_command_line_shows_no_local_path():
    script = str(Path(results.__file__).parent / "llm_router" / "mix.py")
    assert command_line([script, "--traffic", "/srv/traffic", "--json"]) == (
        "python -m bench.llm_router.mix --traffic PATH"
    )
    assert command_line([str(FOLDER / "voice" / "__main__.py"), "--turns", "16"]) == "python -m bench.voice --turns 16"


@pytest.mark.parametrize("table", STORED, ids=lambda table: table.name)
def test_a_stored_table_has_the_columns_of_its_benchmark(table: Table):
    tables = json.loads((FOLDER / table.part / "results.json").read_text(encoding="utf-8"))
    assert tables[table.name]["columns"] == list(table.columns)
