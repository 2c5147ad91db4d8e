"""The programs of examples/ as they stand, written for redis-py. README.md and docs/ show these very files."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from fenced_postgres import SCHEMA, Overtaken, read, write
from postgres import MISSING, postgres_server
from servers import PACKAGE, Server, free_port, until

TESTS, EXAMPLES = PACKAGE / "tests", PACKAGE / "examples"

TOKEN = r"token \d+"
ENDING = {
    "quick_start.py": rf"Working under {TOKEN}",
    "quick_start_asyncio.py": rf"Working under {TOKEN}",
    "decorator.py": r"Billing order 7",
    "task_runner.py": rf"Task is running under {TOKEN}\nLock released\.",
    "long_task.py": r"Step 1\nStep 2\nStep 3\nStep 4\nStep 5\nTask done\.",
    "long_task_asyncio.py": r"Step 1\nStep 2\nStep 3\nStep 4\nStep 5\nTask done\.",
    "wait_with_fallback.py": rf"Task is running under {TOKEN}",
    "fenced_write.py": r"Written: b'first'\nRefused: FENCED token \d+ is not held.*",
    "redis_py_lock.py": r"Locked; what it writes is fenced by \d+",
    "several.py": rf"Both are locked under {TOKEN}",
    "work.py": rf"Transferring under {TOKEN}",
}
OTHERS = {"cron_once.py", "leader.py", "monitor_lock.py", "fenced_postgres.py"}


@pytest.fixture(scope="module")
def tcp_server() -> Iterator[Server]:
    server = Server("--notify-keyspace-events", "Ed", port=free_port())
    yield server
    server.stop()


def start(server: Server, example: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, str(TESTS / "run_example.py"), str(server.port), str(EXAMPLES / example)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})


def said(process: subprocess.Popen[str]) -> str:
    try:
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    return output.strip()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_every_example_is_run() -> None:
    assert {file.name for file in EXAMPLES.glob("*.py")} == ENDING.keys() | OTHERS


def _shown(page: Path) -> list[tuple[str, str]]:
    """Each program that a page shows under its name."""
    return re.findall(r"`examples/(\w+\.py)`:?\n\n```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/redis_py_lock.md"])
def test_pages_show_these_very_files(page: str) -> None:
    text = (PACKAGE / page).read_text()
    shown = _shown(PACKAGE / page)
    assert len(shown) == text.count("```python")
    for name, program in shown:
        assert program == (EXAMPLES / name).read_text(), name


@pytest.mark.parametrize("example", ENDING)
def test_runs_to_its_end(tcp_server: Server, example: str) -> None:
    assert re.fullmatch(ENDING[example], said(start(tcp_server, example)))
    assert not tcp_server.redis.execute_command("KEYS", "*lock*") and not tcp_server.holders("report")


def test_who_comes_second(tcp_server: Server) -> None:
    tcp_server.redis.execute_command("LOCK.ACQUIRE", "resource_lock", "someone", 60000)
    outputs = [said(start(tcp_server, example)) for example in ("task_runner.py", "wait_with_fallback.py")]
    assert outputs[0] == "Resource is locked, try again later."
    assert outputs[1].startswith("Queueing the task for later: resource_lock: others hold it")
    tcp_server.redis.execute_command("LOCK.RELEASE", "resource_lock", "someone")


@pytest.mark.parametrize("example", ["long_task.py", "long_task_asyncio.py"])
def test_a_long_task_stops_when_its_lock_is_lost(tcp_server: Server, example: str) -> None:
    process = start(tcp_server, example)
    assert line(process) == "Step 1"
    tcp_server.redis.delete("resource_lock")
    assert "Task stopped: resource_lock: lost" in said(process)


def test_the_monitor_shows_holder_and_events(tcp_server: Server) -> None:
    tcp_server.redis.execute_command("LOCK.ACQUIRE", "resource_lock", "someone", 60000, "META", "host 7")
    process = start(tcp_server, "monitor_lock.py")
    try:
        assert re.fullmatch(r"someone host 7 for \d+ ms, \d+ ms left, token \d+", line(process))
        assert line(process) == "0 waiting"
        until(lambda: tcp_server.redis.execute_command("PUBSUB", "NUMPAT") == 1)
        tcp_server.redis.execute_command("LOCK.RELEASE", "resource_lock", "someone")
        assert line(process) == "lock.release resource_lock"
    finally:
        process.kill()
        process.wait()


def test_a_cron_job_runs_once_over_many_hosts(tcp_server: Server) -> None:
    outputs = [said(process) for process in [start(tcp_server, "cron_once.py") for _ in range(5)]]
    assert sum("The job runs on" in output for output in outputs) == 1
    assert outputs.count("Another host does it.") == 4
    tcp_server.redis.flushall()


def test_a_leader_is_elected_lost_and_followed(tcp_server: Server) -> None:
    first, second = start(tcp_server, "leader.py"), None
    try:
        first_token = int(line(first).split()[-1])
        second = start(tcp_server, "leader.py")
        until(lambda: tcp_server.waiting("leader") == 1)
        tcp_server.redis.delete("leader")  # an operator's forced release
        second_token = int(line(second).split()[-1])
        assert second_token > first_token
        assert "lost: leader: lost: the server no longer knows it" in line(first)
        until(lambda: tcp_server.waiting("leader") == 1)  # it stands in line again
        second.send_signal(signal.SIGINT)  # and a leader that is ended hands over at once
        assert int(line(first).split()[-1]) > second_token
    finally:
        for process in filter(None, (first, second)):
            process.kill()
            process.wait()


def test_a_lock_in_five_lines() -> None:
    program = (EXAMPLES / "quick_start.py").read_text()
    assert len([text for text in program.splitlines() if text]) == 5


# --- fenced write to Postgres

needs_postgres = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Path]:
    with postgres_server() as folder:
        yield folder


@needs_postgres
def test_fenced_writes_to_postgres(tcp_server: Server, postgres: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGHOST": str(postgres), "PGUSER": "test", "PGDATABASE": "postgres"}.items():
        monkeypatch.setenv(name, value)
    processes = [start(tcp_server, "fenced_postgres.py") for _ in range(4)]
    assert all(re.fullmatch(rf"Written under {TOKEN}", said(process)) for process in processes)
    with psycopg.connect(autocommit=True) as database:
        row = database.execute("SELECT body FROM report WHERE id = 7").fetchone()
        assert row is not None and row[0].count("a line more") == 4


@needs_postgres
def test_in_every_order_of_two_holders_no_acknowledged_write_is_lost(postgres: Path) -> None:
    """A reads and writes under token 1, and is overtaken at any point by B under token 2."""
    orders = ["AABB", "ABAB", "ABBA", "BAAB", "BABA", "BBAA"]
    with psycopg.connect(host=str(postgres), user="test", dbname="postgres", autocommit=True) as database:
        database.execute(SCHEMA)
        for number, order in enumerate(orders, 100):
            database.execute("INSERT INTO report VALUES (%s, '')", (number,))
            bodies: dict[str, str] = {}
            written: list[str] = []
            for who in order:
                token = {"A": 1, "B": 2}[who]
                try:
                    if who not in bodies:
                        bodies[who] = read(database, number, token)
                    else:
                        write(database, number, token, bodies[who] + who)
                        written.append(who)
                except Overtaken:
                    bodies.setdefault(who, "")
            row = database.execute("SELECT body FROM report WHERE id = %s", (number,)).fetchone()
            assert row is not None and row[0] == "".join(written), order
            assert "B" in written, order
