"""Takes turns on one lock, on threads or in asyncio, until standard input ends. It tells each on a line, its times
in nanoseconds of the clock that all processes of a machine share:

    turn WHO BEGAN ENTERED LEFT TOKEN      LEFT is the last moment at which the lock was seen to be valid
    trouble WHO BEGAN ENDED ERROR

Arguments: threads or asyncio, the server's socket, the lock's name, how many workers; in milliseconds the ttl, the
wait, how long a section takes, how long a long one takes; one in how many is long.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing

from clients import AsyncRedis, Redis

import redislocks.asyncio
from redislocks import LockError, Locks

FLAVOUR, SOCKET, NAME = sys.argv[1:4]
WORKERS = int(sys.argv[4])
TTL, WAIT, HOLD, LONG_HOLD = (int(ms) / 1000 for ms in sys.argv[5:9])
LONG_ONE_IN = int(sys.argv[9])
# Seconds. How often a section looks whether the lock is valid.
STEP = 0.02

over = threading.Event()


def tell(*words: object) -> None:
    """One write for each: lines of several workers do not mix."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def trouble(who: str, began: int, error: LockError) -> None:
    tell("trouble", who, began, time.monotonic_ns(), f"{type(error).__name__}: {error}".replace("\n", " "))


class Section:
    """What is under the lock, in steps: after each it looks whether the lock is valid."""

    def __init__(self, who: str, began: int, lock: redislocks.Lock | redislocks.asyncio.Lock) -> None:
        self._who, self._began, self._lock = who, began, lock
        self.entered = self.left = time.monotonic_ns()
        lock.raise_if_lost()

    def steps(self) -> Generator[float, None, None]:
        """How long to sleep, again and again."""
        end = time.monotonic() + (LONG_HOLD if random.random() * LONG_ONE_IN < 1 else HOLD)
        try:
            while (rest := end - time.monotonic()) > 0:
                yield min(STEP, rest)
                # The moment comes first: what is valid afterwards was valid then.
                moment = time.monotonic_ns()
                self._lock.raise_if_lost()
                self.left = moment
        finally:
            tell("turn", self._who, self._began, self.entered, self.left, self._lock.token)


def take_turns(who: str, locks: Locks) -> None:
    while not over.is_set():
        began = time.monotonic_ns()
        try:
            with locks.lock(NAME, ttl=TTL, wait=WAIT) as lock:
                with closing(Section(who, began, lock).steps()) as steps:
                    for step in steps:
                        time.sleep(step)
        except LockError as error:
            trouble(who, began, error)


async def take_turns_in_asyncio(who: str, locks: redislocks.asyncio.Locks) -> None:
    while not over.is_set():
        began = time.monotonic_ns()
        try:
            async with locks.lock(NAME, ttl=TTL, wait=WAIT) as lock:
                with closing(Section(who, began, lock).steps()) as steps:
                    for step in steps:
                        await asyncio.sleep(step)
        except LockError as error:
            trouble(who, began, error)


def on_threads(names: list[str]) -> None:
    failures: list[BaseException] = []

    def work(who: str, locks: Locks) -> None:
        try:
            take_turns(who, locks)
        except BaseException as error:
            failures.append(error)

    locks = Locks(Redis(unix_socket_path=SOCKET))
    threads = [threading.Thread(target=work, args=(who, locks)) for who in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


async def in_asyncio(names: list[str]) -> None:
    locks = redislocks.asyncio.Locks(AsyncRedis(unix_socket_path=SOCKET))
    await asyncio.gather(*(take_turns_in_asyncio(who, locks) for who in names))


def wait_for_the_end() -> None:
    sys.stdin.read()
    over.set()


def main() -> None:
    threading.Thread(target=wait_for_the_end, daemon=True).start()
    names = [f"{FLAVOUR}-{number + 1}" for number in range(WORKERS)]
    if FLAVOUR == "threads":
        on_threads(names)
    else:
        asyncio.run(in_asyncio(names))


if __name__ == "__main__":
    main()
