"""Servers that freeze, die and come back; programs that die, fork, or want to end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from clients import Redis
from servers import Server, until

from redislocks import LockHeld, LockLost, Locks, LockUnavailable

TESTS = Path(__file__).parent


def program(server: Server, text: str) -> subprocess.Popen[str]:
    """Runs a program that has a client `redis`, an asyncio one `aredis`, and the same for `Locks`."""
    head = f"""
        import asyncio, os, sys, time
        sys.path.insert(0, {str(TESTS)!r})
        from clients import AsyncRedis, Redis
        from redislocks import *
        from redislocks import asyncio as aio
        redis, aredis = Redis(**{server.settings()!r}), AsyncRedis(**{server.settings()!r})
        locks, alocks = Locks(redis), aio.Locks(aredis)
        say = lambda *words: print(*words, flush=True)
    """
    source = textwrap.dedent(head) + textwrap.dedent(text)
    return subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ended(process: subprocess.Popen[str], seconds: float) -> str:
    """What it still said, once it has ended by itself within that time."""
    assert process.stdin is not None and process.stdout is not None
    try:
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait(seconds)
        # Not by communicate(): what was read together with an earlier line it does not know.
        return process.stdout.read().strip()
    finally:
        process.kill()
        process.wait()


# --- a frozen server


def test_a_frozen_server_ends_an_acquire_and_leaves_no_ghost(own_server: Server) -> None:
    locks = Locks(Redis(**own_server.settings()))
    locks.acquire("warm", ttl=30).release()
    own_server.freeze()
    began = time.monotonic()
    with pytest.raises(LockUnavailable, match="no answer within 2 s"):
        locks.acquire("a", ttl=30)
    assert time.monotonic() - began < 5
    own_server.thaw()
    until(lambda: own_server.nothing_left("a"), 2)


def test_a_frozen_server_ends_a_wait_and_leaves_no_ghost(own_server: Server) -> None:
    locks = Locks(Redis(**own_server.settings()))
    held = locks.acquire("a", ttl=30)
    outcome: list[Any] = []

    def wait() -> None:
        try:
            outcome.append(locks.acquire("a", ttl=30, wait=1))
        except LockUnavailable as error:
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: own_server.waiting("a"))
    own_server.freeze()
    thread.join(6)
    assert isinstance(outcome[0], LockUnavailable)
    own_server.thaw()
    until(lambda: not own_server.waiting("a"), 2)
    assert held.release() is True
    assert own_server.nothing_left("a")


def test_a_server_frozen_for_a_moment_costs_a_wait_nothing(own_server: Server) -> None:
    locks = Locks(Redis(**own_server.settings()))
    own_server.freeze()
    threading.Timer(2.5, own_server.thaw).start()
    with locks.lock("a", ttl=30, wait=20):
        pass
    until(lambda: own_server.nothing_left("a"), 2)  # nor do the attempts that were not answered leave anything


@pytest.mark.parametrize("fault", [Server.freeze, Server.kill])
@pytest.mark.parametrize("how", ["sync", "asyncio", "bare"])
def test_a_frozen_or_killed_server_never_keeps_a_program_from_ending(
    own_server: Server, how: str, fault: Callable[[Server], None]
) -> None:
    texts = {
        "sync": """
            try:
                with locks.lock("a", ttl=1) as lock:
                    say("held"); sys.stdin.readline()
                    while True: lock.raise_if_lost(); time.sleep(0.01)
            except LockLost: say("lost")
        """,
        "asyncio": """
            async def main():
                try:
                    async with alocks.lock("a", ttl=1) as lock:
                        say("held"); sys.stdin.readline()
                        await asyncio.sleep(60)
                except LockLost: say("lost")
            asyncio.run(main())
        """,
        "bare": """
            lock = locks.acquire("a", ttl=60, renew=True)
            say("held"); sys.stdin.readline()
            say("lost")
        """,
    }
    process = program(own_server, texts[how])
    assert line(process) == "held"
    fault(own_server)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert ended(process, 6) == "lost"
    assert process.returncode == 0


# --- a server that is killed and comes back


def test_a_restart_shorter_than_the_ttl_costs_no_lock(own_server: Server) -> None:
    locks = Locks(Redis(**own_server.settings()))
    with locks.lock("a", ttl=2) as lock:
        own_server.kill()
        time.sleep(0.3)
        own_server.start()
        time.sleep(2.5)
        lock.raise_if_lost()
        assert own_server.holders("a")[0]["fence"] == lock.token
    assert own_server.nothing_left("a")


def test_a_restart_without_the_locks_is_a_lost_lock_before_its_time(own_server: Server) -> None:
    locks = Locks(Redis(**own_server.settings()))
    with pytest.raises(LockLost, match="server no longer knows it"), locks.lock("a", ttl=6) as lock:
        own_server.kill()
        shutil.rmtree(Path(own_server.folder, "appendonlydir"))
        own_server.start()
        assert own_server.redis.execute_command("LOCK.ACQUIRE", "a", "somebody", 60000)
        until(lambda: lock.lost)
    assert len(own_server.holders("a")) == 1  # what others hold now is not released


def test_a_server_that_stays_away_is_a_lost_lock_by_the_clock(own_server: Server) -> None:
    locks = Locks(Redis(**own_server.settings()))
    began = time.monotonic()
    with pytest.raises(LockLost), locks.lock("a", ttl=0.6) as lock:
        own_server.kill()
        until(lambda: lock.lost)
        assert time.monotonic() - began < 0.7
    with pytest.raises(LockUnavailable, match="can't be reached"):
        locks.acquire("a", ttl=1)
    own_server.start()


def test_release_without_a_server_says_so_and_a_block_only_warns(
    own_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    locks = Locks(Redis(**own_server.settings()))
    bare = locks.acquire("bare", ttl=30)
    with locks.lock("block", ttl=30):
        own_server.kill()
        with pytest.raises(LockUnavailable):
            bare.release()
    assert "Not released, its ttl ends it: block" in caplog.text
    own_server.start()
    assert bare.release() is True


def test_a_restart_before_the_release_costs_the_others_no_ttl(own_server: Server) -> None:
    locks = Locks(Redis(**own_server.settings()))
    bare = locks.acquire("bare", ttl=30)
    with locks.lock("block", ttl=30):
        own_server.kill()
        again = threading.Timer(0.5, own_server.start)
        again.start()
        assert bare.release() is True
        again.join()
        own_server.kill()
        again = threading.Timer(0.5, own_server.start)
        again.start()
    again.join()
    assert own_server.nothing_left("bare", "block")


def test_a_wait_goes_on_with_the_server_that_came_back(own_server: Server) -> None:
    locks = Locks(Redis(**own_server.settings()))
    held = locks.acquire("a", ttl=30)
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(locks.acquire("a", ttl=30, wait=20)))
    thread.start()
    until(lambda: own_server.waiting("a"))
    own_server.kill()
    own_server.start()
    until(lambda: own_server.waiting("a"))
    assert held.release() is True
    thread.join(10)
    assert outcome[0].token > held.token
    assert outcome[0].release() is True
    assert own_server.nothing_left("a")


def test_a_wait_gets_no_longer_by_a_lost_connection(own_server: Server) -> None:
    locks = Locks(Redis(**own_server.settings()))
    locks.acquire("a", ttl=30)
    began = time.monotonic()
    outcome: list[Any] = []

    def wait() -> None:
        try:
            locks.acquire("a", ttl=30, wait=3)
        except LockHeld as error:
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: own_server.waiting("a"))
    time.sleep(2)
    own_server.redis.execute_command("CLIENT", "KILL", "ID", own_server.info("a")["waiters"][0]["client"])
    until(lambda: own_server.waiting("a"))  # again
    thread.join(10)
    assert isinstance(outcome[0], LockHeld)
    assert 3 <= time.monotonic() - began < 4


def test_a_cooldown_is_waited_out(own_server: Server) -> None:
    locks = Locks(Redis(**own_server.settings()))
    own_server.redis.config_set("lock.cooldown", 86400000)
    with pytest.raises(LockUnavailable, match="COOLDOWN"):
        locks.acquire("a", ttl=30)
    threading.Timer(0.5, lambda: own_server.redis.config_set("lock.cooldown", 0)).start()
    with locks.lock("a", ttl=30, wait=10):
        pass


# --- a program that dies, and one that forks


def test_a_killed_holder_costs_its_ttl_and_a_killed_waiter_nothing(server: Server) -> None:
    holder = program(server, """lock = locks.acquire("a", ttl=1.5); say("held"); time.sleep(60)""")
    assert line(holder) == "held"
    waiter = program(server, """say("waits"); locks.acquire("a", ttl=60, wait=60)""")
    until(lambda: server.waiting("a"))
    for process in (waiter, holder):
        process.kill()
        ended(process, 5)
    until(lambda: not server.waiting("a"), 1)
    with Locks(Redis(**server.settings())).lock("a", ttl=30, wait=5):
        pass


def test_killed_between_the_grant_and_its_answer_costs_nothing(server: Server) -> None:
    """The hold of who waits ends with his connection, until he has seen that he has it."""
    held = Locks(Redis(**server.settings())).acquire("a", ttl=60)
    waiter = program(server, """locks.acquire("a", ttl=60, wait=60)""")
    until(lambda: server.waiting("a"))
    waiter.send_signal(signal.SIGSTOP)
    held.release()
    until(lambda: server.holders("a"))
    waiter.kill()
    ended(waiter, 5)
    until(lambda: server.nothing_left("a"), 1)


def test_after_a_fork_the_child_has_connections_of_its_own(server: Server) -> None:
    text = """
        locks.acquire("a", ttl=30).release()
        if os.fork() == 0:
            before = len(redis.client_list())
            locks.acquire("a", ttl=30).release()
            say(len(redis.client_list()) - before)
            os._exit(0)
        os.wait()
        locks.acquire("a", ttl=30).release()
        say("parent too")
    """
    process = program(server, text)
    assert line(process) == "1"
    assert ended(process, 5) == "parent too"


def test_after_a_fork_the_childs_copy_is_lost_and_never_releases(server: Server) -> None:
    text = """
        other = locks.acquire("other", ttl=30)
        try:
            with locks.lock("a", ttl=0.6) as lock:
                child = os.fork()
                if child:
                    assert os.waitpid(child, 0)[1] == 0
                    lock.raise_if_lost()
                    say("parent holds")
                    sys.stdin.readline()
                else:
                    assert lock.lost and other.lost and lock.valid_for == 0
                    assert other.release() is False
                    with locks.lock("mine", ttl=0.4) as mine:    # its own locks work
                        time.sleep(0.8); mine.raise_if_lost()
        except LockLost as error:
            say("child:", error)
            os._exit(0)
    """
    process = program(server, text)
    assert "forked copy" in line(process)
    assert line(process) == "parent holds"
    assert server.holders("a") and server.holders("other")
    assert ended(process, 5) == ""
    assert process.returncode == 0
    assert server.nothing_left("a", "mine")


def test_a_waiting_connection_copied_by_a_fork_keeps_no_place_in_line(server: Server) -> None:
    text = """
        import threading
        def wait():
            try: locks.acquire("a", ttl=30, wait=1)
            except LockHeld: say("not in time")
        thread = threading.Thread(target=wait); thread.start()
        sys.stdin.readline()
        if os.fork() == 0: time.sleep(3); os._exit(0)
        thread.join()
        say("free")
        sys.stdin.readline()
    """
    with Locks(Redis(**server.settings())).lock("a", ttl=30):
        process = program(server, text)
        until(lambda: server.waiting("a"))
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert line(process) == "not in time"
        assert server.waiting("a") == 0
    assert server.nothing_left("a")
    ended(process, 10)


def test_interrupted_by_the_keyboard_in_line(server: Server) -> None:
    with Locks(Redis(**server.settings())).lock("a", ttl=30):
        process = program(
            server,
            """
            try: locks.acquire("a", ttl=30, wait=60)
            except KeyboardInterrupt: say("interrupted")
            """,
        )
        until(lambda: server.waiting("a"))
        process.send_signal(signal.SIGINT)
        assert ended(process, 3) == "interrupted"
        assert server.waiting("a") == 0


def test_what_a_lock_is_for(server: Server) -> None:
    """Processes that are killed at any time, sync and asyncio: two are never in at once, tokens never sink."""
    path = os.path.join(server.folder, "in")
    text = f"""
        def work(token):
            os.close(os.open({path!r}, os.O_CREAT | os.O_EXCL))
            say(token)
            os.unlink({path!r})
        for _ in range(30):
            with locks.lock("a", ttl=10, wait=20) as lock: work(lock.token)
        async def main():
            for _ in range(30):
                async with alocks.lock("a", ttl=10, wait=20) as lock: work(lock.token)
        asyncio.run(main())
    """
    processes = [program(server, text) for _ in range(4)]
    outputs = [[int(word) for word in ended(process, 60).split()] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    tokens = [token for output in outputs for token in output]
    assert len(set(tokens)) == len(tokens) == 240
    assert all(output == sorted(output) for output in outputs)
    with pytest.raises(LockHeld), Locks(Redis(**server.settings())).lock("a", ttl=1):
        Locks(Redis(**server.settings())).acquire("a", ttl=1)
