"""The Lock of redis-py (or valkey-py) with lock_class=Lock: the same programs, with a line and a token."""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import clients
import pytest
from clients import AsyncRedis, AsyncRedisCluster, Redis, RedisCluster
from proxy import Proxy
from servers import ClusterServers, Server, until

from redislocks import LockConfig

drop_in = importlib.import_module(f"redislocks.{clients.PACKAGE}_py")
errors = importlib.import_module(f"{clients.PACKAGE}.exceptions")
own_lock = importlib.import_module(f"{clients.PACKAGE}.lock").Lock
Lock, AsyncLock = drop_in.Lock, drop_in.AsyncLock


@pytest.fixture(params=[{}, {"decode_responses": True}, {"protocol": 3}], ids=["bytes", "str", "RESP3"])
def redis(request: pytest.FixtureRequest, server: Server) -> Iterator[Any]:
    redis = Redis(**server.settings(), **request.param)
    yield redis
    redis.close()


def test_with_needs_no_other_change(redis: Any, server: Server) -> None:
    with redis.lock("x", timeout=10, blocking_timeout=5, lock_class=Lock) as lock:
        assert isinstance(lock, own_lock)
        assert lock.locked() and lock.owned()
        first = lock.token
        assert first == server.holders("x")[0]["fence"]
        assert server.holders("x")[0]["owner"] == lock.local.token.decode()
    assert lock.token is None and not lock.locked() and not lock.owned()
    with redis.lock("x", timeout=10, lock_class=Lock) as lock:
        assert lock.token > first
    assert server.nothing_left("x")


def test_who_waits_stands_in_line(redis: Any, server: Server) -> None:
    lock = redis.lock("x", timeout=10, lock_class=Lock)
    assert lock.acquire() is True
    order: list[int] = []

    def wait(i: int) -> None:
        with redis.lock("x", timeout=10, sleep=30, lock_class=Lock):  # it does not sleep
            order.append(i)

    threads = [threading.Thread(target=wait, args=(i,)) for i in range(3)]
    for i, thread in enumerate(threads):
        thread.start()
        until(lambda i=i: server.waiting("x") == i + 1)  # type: ignore[misc]
    lock.release()
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2]


def test_not_in_time(redis: Any, server: Server) -> None:
    with redis.lock("x", timeout=10, lock_class=Lock):
        other = redis.lock("x", timeout=10, blocking_timeout=0.2, lock_class=Lock)
        began = time.monotonic()
        assert other.acquire() is False
        assert 0.2 <= time.monotonic() - began < 1
        assert other.acquire(blocking=False) is False
        assert other.acquire(blocking_timeout=0.1) is False
        assert other.token is None
        with pytest.raises(errors.LockError), other:
            pass
        assert server.waiting("x") == 0


def test_extend_and_reacquire(redis: Any, server: Server) -> None:
    lock = redis.lock("x", timeout=10, lock_class=Lock)
    lock.acquire()
    assert lock.extend(10) is True
    assert 19 < server.holders("x")[0]["ttl-ms"] / 1000 <= 20
    assert lock.extend(30, replace_ttl=True) is True
    assert 29 < server.holders("x")[0]["ttl-ms"] / 1000 <= 30
    assert lock.reacquire() is True
    lock.release()
    with pytest.raises(errors.LockError):
        lock.extend(10)


def test_no_longer_owned(redis: Any, server: Server) -> None:
    lock = redis.lock("x", timeout=10, lock_class=Lock)
    lock.acquire()
    server.redis.delete("x")
    for call in (lambda: lock.extend(10), lock.reacquire, lock.release):
        with pytest.raises(errors.LockNotOwnedError):
            call()
    with pytest.raises(errors.LockError, match=r"(?i)cannot release"):
        lock.release()


def test_a_token_of_ones_own_handed_to_another_process(redis: Any) -> None:
    """As programs do that release elsewhere than they acquire."""
    assert redis.lock("x", timeout=10, lock_class=Lock).acquire(token="mine") is True
    lock = redis.lock("x", timeout=10, lock_class=Lock)
    lock.local.token = b"mine"
    assert lock.owned() and lock.extend(10)
    lock.release()
    assert not lock.locked()


def test_a_timeout_of_none_is_refused_in_words(redis: Any) -> None:
    with pytest.raises(LockConfig, match="timeout=None would be a lock without a time limit"):
        redis.lock("x", lock_class=Lock)


def test_a_fleet_that_is_half_moved(redis: Any, server: Server) -> None:
    """Each side excludes the other, and both wait for each other."""
    with redis.lock("x", timeout=10):  # as today
        moved = redis.lock("x", timeout=10, sleep=0.02, blocking_timeout=0.2, lock_class=Lock)
        assert moved.acquire() is False
        assert moved.locked() and not moved.owned()
        thread = threading.Thread(target=lambda: results.append(moved.acquire(blocking_timeout=10)))
        results: list[bool] = []
        thread.start()
        time.sleep(0.1)
        assert results == []
    thread.join(10)
    assert results == [True]
    assert redis.lock("x", timeout=10, blocking_timeout=0.2).acquire() is False  # as today
    assert server.holders("x")


def test_a_server_that_is_away_is_told_in_the_clients_words(own_server: Server) -> None:
    redis = Redis(**own_server.settings())
    lock = redis.lock("x", timeout=10, lock_class=Lock)
    lock.acquire()
    own_server.kill()
    with pytest.raises(errors.ConnectionError):
        lock.release()
    with pytest.raises(errors.ConnectionError):
        redis.lock("x", timeout=10, blocking=False, lock_class=Lock).acquire()
    own_server.start()
    own_server.freeze()
    with pytest.raises(errors.TimeoutError):
        redis.lock("y", timeout=10, blocking=False, lock_class=Lock).acquire()


def test_a_release_whose_answer_is_lost_is_no_error(server: Server, proxy: Proxy) -> None:
    redis = Redis(port=proxy.port)
    with redis.lock("x", timeout=10, lock_class=Lock):
        proxy.lose_answer_to("LOCK.RELEASE")
    assert server.nothing_left("x")


def test_in_a_cluster(cluster: ClusterServers) -> None:
    redis = RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)
    for i in range(6):
        with redis.lock(f"k{i}", timeout=10, lock_class=Lock) as lock:
            assert lock.owned() and lock.extend(10)


def test_asyncio(server: Server) -> None:
    async def main() -> None:
        redis = AsyncRedis(**server.settings())
        async with redis.lock("x", timeout=10, lock_class=AsyncLock) as lock:
            assert await lock.locked() and await lock.owned()
            assert lock.token == server.holders("x")[0]["fence"]
            assert await lock.extend(10) is True
            assert await lock.reacquire() is True
            other = redis.lock("x", timeout=10, blocking_timeout=0.1, lock_class=AsyncLock)
            assert await other.acquire() is False
            waiting = asyncio.ensure_future(other.acquire(blocking_timeout=10))
            while not server.waiting("x"):
                await asyncio.sleep(0.005)
        assert await waiting is True
        server.redis.delete("x")
        with pytest.raises(errors.LockNotOwnedError):
            await other.release()
        await redis.set("x", "as today", px=200)
        async with redis.lock("x", timeout=10, sleep=0.02, lock_class=AsyncLock):
            pass
        with pytest.raises(LockConfig):
            redis.lock("x", lock_class=AsyncLock)
        await (redis.aclose() if hasattr(redis, "aclose") else redis.close())

    asyncio.run(main())
    assert server.nothing_left("x")


def test_asyncio_in_a_cluster(cluster: ClusterServers) -> None:
    async def main() -> None:
        redis = AsyncRedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)
        for i in range(6):
            async with redis.lock(f"k{i}", timeout=10, lock_class=AsyncLock) as lock:
                assert await lock.owned() and await lock.extend(10)
        await (redis.aclose() if hasattr(redis, "aclose") else redis.close())

    asyncio.run(main())
