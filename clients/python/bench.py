#!/usr/bin/env python3
"""Measures this package beside redis-py's own Lock, on a server of its own: ./bench.py (needs redis-py).

Uncontended: acquire and release, one after the other. Contended: 16 workers (threads, each with a connection of its
own) that hold one lock for 5 ms, again and again; what is measured is from asking for it to having it, and how many
requests the server got for each acquire, release included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import redis

from redislocks import Locks
from redislocks.redis_py import Lock

MODULE = os.environ.get("REDIS_LOCK_MODULE") or str(
    Path(__file__).resolve().parents[2] / "target/release/libredis_lock.so"
)
WORKERS, HOLD = 16, 0.005

Enter = Callable[[], AbstractContextManager[Any]]


@contextmanager
def server() -> Iterator[redis.Redis]:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/socket"
        command = [os.environ.get("REDIS_SERVER") or "redis-server", "--loadmodule", MODULE]
        command += ["--port", "0", "--unixsocket", path, "--dir", folder, "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while not os.path.exists(path):
                time.sleep(0.01)
            yield redis.Redis(unix_socket_path=path)
        finally:
            process.kill()
            process.wait()


def locks_of(client: redis.Redis) -> dict[str, Enter]:
    locks = Locks(client)
    return {
        "redis-py's Lock": lambda: client.lock("theirs", timeout=30),
        "Lock of redislocks.redis_py": lambda: client.lock("drop-in", timeout=30, lock_class=Lock),
        "Locks.lock": lambda: locks.lock("ours", ttl=30, wait=60),
    }


def once(enter: Enter) -> float:
    began = time.perf_counter()
    with enter():
        pass
    return time.perf_counter() - began


def uncontended(client: redis.Redis, rounds: int) -> None:
    kinds = locks_of(client)
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):  # taken in turns: what slows the machine down slows all
        for name, enter in kinds.items():
            times[name].append(once(enter))
    theirs = statistics.median(times["redis-py's Lock"])
    print(f"acquire + release, uncontended, {rounds} rounds")
    for name, taken in times.items():
        p50 = statistics.median(taken)
        print(f"  {name:28} p50 {p50 * 1e6:6.0f} us   {p50 / theirs:.2f} of redis-py's")


def contended(client: redis.Redis, seconds: float) -> None:
    print(f"{WORKERS} workers on one lock, each holds it for {HOLD * 1000:g} ms, {seconds:g} s")
    for name, enter in locks_of(client).items():
        waits: list[float] = []
        end = time.perf_counter() + seconds
        before = _requests(client)
        threads = [threading.Thread(target=_work, args=(enter, end, waits)) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        requests = _requests(client) - before
        cuts = statistics.quantiles(waits, n=100)
        print(
            f"  {name:28} p50 {cuts[49] * 1000:6.1f} ms   p99 {cuts[98] * 1000:6.1f} ms   p99/p50 "
            f"{cuts[98] / cuts[49]:4.1f}   {requests / len(waits):5.1f} requests an acquire   {len(waits)} acquires"
        )


def _work(enter: Enter, end: float, waits: list[float]) -> None:
    while (began := time.perf_counter()) < end:
        with enter():
            waits.append(time.perf_counter() - began)
            time.sleep(HOLD)


def _requests(client: redis.Redis) -> int:
    stats: dict[str, Any] = client.info("commandstats")
    # Not what is asked here, nor what redis-py's scripts call on the server.
    inner = {"cmdstat_info", "cmdstat_get", "cmdstat_del"}
    return sum(entry["calls"] for name, entry in stats.items() if name not in inner)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    with server() as client:
        print(f"redis-py {redis.__version__}, server {client.info('server')['redis_version']}")
        uncontended(client, arguments.rounds)
        contended(client, arguments.seconds)


if __name__ == "__main__":
    main()
