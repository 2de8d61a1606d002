"""`hocket-rag migrate` and `hocket-ratelimit migrate`: output, exit codes, and passwords that never show."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.fakes.waiting import START_S

LOCK_KEY = 0x686F636B6574


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command in this process: a process per case takes minutes on a busy machine."""

    def run_once(noun: str, url: str | None, *rest: str) -> Result:
        name = f"HOCKET_{noun.upper()}_POSTGRES_MIGRATION_URL"
        monkeypatch.setattr(sys, "argv", [f"hocket-{noun}", "migrate", *rest])
        monkeypatch.setenv(name, url) if url else monkeypatch.delenv(name, raising=False)
        code = 0
        try:
            importlib.import_module(f"services.{noun}.__main__").main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        password = urlsplit(url or "").password
        assert not password or password not in captured.out + captured.err
        return Result(code, captured.out, captured.err)

    return run_once


async def connected(url: str, *statements: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    return connection


def execute(url: str, *statements: str) -> None:
    async def run() -> None:
        await (await connected(url, *statements)).close()

    asyncio.run(run())


@pytest.mark.parametrize("noun", ["rag", "ratelimit"])
def test_check_migrate_and_check_again(fresh_postgres_urls, run, noun):
    url = fresh_postgres_urls.owner_url
    check = run(noun, url, "--check")
    assert (check.code, check.err) == (3, "")
    assert f"schema {noun} at hocket_owner@127.0.0.1:" in check.out
    assert "version 0, needed 1" in check.out
    assert f"hocket-{noun} migrate: pending: 0001_" in check.out

    first = run(noun, url)
    assert (first.code, first.err) == (0, "")
    assert "applied 0001_" in first.out
    assert first.out.endswith(f"schema {noun} is at version 1\n")

    for rest in ((), ("--dry-run",)):
        again = run(noun, url, *rest)
        assert (again.code, again.err) == (0, "")
        assert again.out.endswith("nothing to do\n")


def test_url_comes_from_a_file_and_help_lists_the_exit_codes(fresh_postgres_urls, run, tmp_path, monkeypatch):
    (tmp_path / "url").write_text(fresh_postgres_urls.owner_url + "\n")
    monkeypatch.setenv("HOCKET_RATELIMIT_POSTGRES_MIGRATION_URL_FILE", str(tmp_path / "url"))
    assert run("ratelimit", None, "--check").code == 3
    shown = run("ratelimit", None, "--help")
    assert (shown.code, shown.err) == (0, "")
    for text in ("HOCKET_RATELIMIT_POSTGRES_MIGRATION_URL", "--check", "exit codes", "75"):
        assert text in shown.out


def test_wrong_urls_give_one_line_with_setting_value_and_fix(fresh_postgres_urls, run):
    good = urlsplit(fresh_postgres_urls.owner_url)
    at, login = f"@127.0.0.1:{good.port}", f"hocket_owner:{good.password}"
    cases = [
        (None, 2, "is not set"),
        ("mysql://a@b/c", 2, "must be a URL like"),
        (f"postgresql://hocket_owner:hunter2{at}{good.path}", 1, "correct user and password"),
        (f"postgresql://stranger:hunter2{at}{good.path}", 1, "correct user and password"),
        (f"postgresql://{login}{at}/nothing", 1, "create the database"),
        (fresh_postgres_urls.app_url, 1, "use the URL of the role that owns"),
        (f"postgresql://{login}@127.0.0.1:1{good.path}", 75, "start it, correct the address, or retry"),
        (f"postgresql://{login}@no-such-host.invalid{good.path}", 75, "host name"),
    ]
    for url, code, text in cases:
        result = run("rag", url)
        assert (url, result.code) == (url, code), result.err
        assert text in result.err
        assert result.err.count("\n") == 1
        assert result.err.startswith("hocket-rag migrate: HOCKET_RAG_POSTGRES_MIGRATION_URL ")
        if code in {1, 75}:
            assert f"({urlsplit(url).username}@" in result.err


def test_busy_or_incompatible_schema_has_its_own_exit_code(fresh_postgres_urls, run):
    url = fresh_postgres_urls.owner_url
    with asyncio.Runner() as runner:
        other = runner.run(connected(url, f"SELECT pg_advisory_lock({LOCK_KEY})"))
        busy = run("ratelimit", url, "--wait-s", "0.2")
        runner.run(other.close())
    assert busy.code == 75
    assert "another migration" in busy.err

    assert run("ratelimit", url).code == 0
    row = "INSERT INTO ratelimit.migrations (name, compatible_since) VALUES"
    execute(url, f"{row} ('0002_later.sql', 1)")
    newer = run("ratelimit", url)
    assert (newer.code, newer.err) == (0, "")
    assert "nothing to do (newer, accepts this build)" in newer.out
    execute(url, f"{row} ('0003_contract.sql', 2)")
    for rest in ((), ("--check",)):
        refused = run("ratelimit", url, *rest)
        assert refused.code == 4
        assert "version 2 or later" in refused.err
    wrong = run("ratelimit", url, "--wait-s", "0")
    assert wrong.code == 2
    assert "0.001 to 86400" in wrong.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_ends_a_waiting_migration_of_a_process(fresh_postgres_urls, number, code):
    url = fresh_postgres_urls.owner_url
    with asyncio.Runner() as runner:
        other = runner.run(connected(url, f"SELECT pg_advisory_lock({LOCK_KEY})"))
        process = subprocess.Popen(
            [sys.executable, "-m", "services.ratelimit", "migrate"],
            env=os.environ | {"HOCKET_RATELIMIT_POSTGRES_MIGRATION_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout
            assert any("waiting for another migration" in line for line in process.stdout)
            process.send_signal(number)
            _, error = process.communicate(timeout=START_S)
        finally:
            process.kill()
            runner.run(other.close())
    assert process.returncode == code
    assert error.startswith("hocket-ratelimit migrate: ")
    assert error.count("\n") == 1
