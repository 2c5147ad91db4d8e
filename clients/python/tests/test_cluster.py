"""Clients of a cluster, and those that Sentinel gives."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from clients import AsyncRedis, AsyncRedisCluster, AsyncSentinel, Redis, RedisCluster, Sentinel
from servers import ClusterServers, SentinelServers, Server, until

from redislocks import LockConfig, LockHeld, LockLost, Locks
from redislocks import asyncio as aio

KEYS = [f"k{i}" for i in range(12)]  # on all nodes


def test_locks_on_all_nodes(cluster: ClusterServers) -> None:
    locks = Locks(RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port))
    held = [locks.acquire(key, ttl=30) for key in KEYS]
    assert len({cluster.owner_of(key).port for key in KEYS}) == 3
    for key in KEYS:
        assert cluster.owner_of(key).holders(key)
        with pytest.raises(LockHeld):
            locks.acquire(key, ttl=30, wait=0.05)
        assert cluster.owner_of(key).waiting(key) == 0
    assert all(lock.release() for lock in held)


def test_locks_on_all_nodes_asyncio(cluster: ClusterServers) -> None:
    async def main() -> None:
        redis = AsyncRedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)
        locks = aio.Locks(redis)

        async def one_after_the_other(key: str) -> None:
            async with locks.lock(key, ttl=30, wait=10):
                assert cluster.owner_of(key).holders(key)

        await asyncio.gather(*(one_after_the_other(key) for key in KEYS * 4))
        assert all(cluster.owner_of(key).nothing_left(key) for key in KEYS)
        await (redis.aclose() if hasattr(redis, "aclose") else redis.close())

    asyncio.run(main())


def test_several_keys_must_be_in_one_slot(cluster: ClusterServers) -> None:
    locks = Locks(RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port))
    with locks.lock(["{acct}:1", "{acct}:2"], ttl=30):
        pass
    with pytest.raises(LockConfig, match="common part in braces"):
        locks.acquire(["acct:1", "acct:2"], ttl=30, wait=10)


def test_a_client_of_one_server_is_told_to_use_the_cluster_class(cluster: ClusterServers) -> None:
    key = next(key for key in KEYS if cluster.owner_of(key) is not cluster.nodes[0])
    with pytest.raises(LockConfig, match="Cluster class"):
        Locks(Redis(port=cluster.nodes[0].port)).acquire(key, ttl=30)


def _wait_while_moving(cluster: ClusterServers, key: str, wait: Callable[[], Any], release: Callable[[], None]) -> Any:
    """Somebody holds `key` and another waits when its slot moves. The outcome of the wait."""
    source = cluster.owner_of(key)
    target = next(node for node in cluster.nodes if node is not source)
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(wait()))
    thread.start()
    until(lambda: source.waiting(key))
    cluster.move(key, source, target)
    try:
        until(lambda: target.waiting(key))
        release()
        thread.join(20)
        assert outcome
        assert target.nothing_left(key)
        return outcome[0]
    finally:
        cluster.move(key, target, source)


def test_a_slot_that_moves_takes_holders_and_waiters_along(cluster: ClusterServers) -> None:
    locks = Locks(RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port))
    with locks.lock("k1", ttl=2) as lock:

        def wait() -> bool:
            with locks.lock("k1", ttl=30, wait=20):
                return True

        def release() -> None:
            time.sleep(2.5)  # it is renewed where it is now
            lock.raise_if_lost()
            assert lock.release() is True

        assert _wait_while_moving(cluster, "k1", wait, release) is True


def test_a_slot_that_moves_asyncio(cluster: ClusterServers) -> None:
    async def wait() -> bool:
        redis = AsyncRedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)
        async with aio.Locks(redis).lock("k2", ttl=30, wait=20):
            pass
        await (redis.aclose() if hasattr(redis, "aclose") else redis.close())
        return True

    lock = Locks(RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)).acquire("k2", ttl=30)
    assert _wait_while_moving(cluster, "k2", lambda: asyncio.run(wait()), lambda: _true(lock.release())) is True


def _true(value: bool) -> None:
    assert value is True


def test_a_slot_on_its_way(cluster: ClusterServers) -> None:
    """Between MIGRATING and NODE the new node is asked with ASKING."""
    key = "k3"
    source = cluster.owner_of(key)
    target = next(node for node in cluster.nodes if node is not source)
    slot = source.redis.execute_command("CLUSTER", "KEYSLOT", key)
    locks = Locks(RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port))
    target.redis.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id(source))
    source.redis.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id(target))
    try:
        with locks.lock(key, ttl=30):
            with pytest.raises(LockHeld):
                locks.acquire(key, ttl=30)
    finally:
        for node in (source, target):
            node.redis.execute_command("CLUSTER", "SETSLOT", slot, "STABLE")


def test_a_node_that_is_replaced_by_its_replica() -> None:
    cluster = ClusterServers(replicas=3)
    try:
        redis = RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)
        locks = Locks(redis)
        key = next(key for key in KEYS if cluster.owner_of(key) is cluster.nodes[1])
        locks.acquire(key, ttl=30).release()
        cluster.nodes[1].kill()
        with locks.lock(key, ttl=30, wait=30) as lock:
            assert cluster.nodes[4].holders(key)[0]["fence"] == lock.token
    finally:
        cluster.nodes[1].start()
        cluster.stop()


def _failed_over(sentinel: SentinelServers) -> None:
    sentinel.master.kill()
    until(lambda: sentinel.replica.redis.info("replication")["role"] == "master", 30)


def test_sentinel_fails_over(sentinel: SentinelServers) -> None:
    """The new master knows the holder, is asked to renew, and serves who waits."""
    locks = Locks(Sentinel([("127.0.0.1", sentinel.port)]).master_for("main"))
    outcome: list[Any] = []
    with locks.lock("a", ttl=20) as lock:
        until(lambda: sentinel.replica.holders("a"))
        thread = threading.Thread(target=lambda: outcome.append(locks.acquire("a", ttl=30, wait=60)))
        thread.start()
        until(lambda: sentinel.master.waiting("a"))
        _failed_over(sentinel)
        until(lambda: sentinel.replica.waiting("a"), 30)
        lock.extend(30)
    thread.join(10)
    assert outcome[0].token > lock.token
    assert outcome[0].release() is True
    sentinel.master.start()


def test_sentinel_fails_over_asyncio(sentinel: SentinelServers) -> None:
    async def main() -> None:
        redis: Any = AsyncSentinel([("127.0.0.1", sentinel.port)]).master_for("main")
        locks = aio.Locks(redis)
        async with locks.lock("a", ttl=4) as lock:
            until(lambda: sentinel.replica.holders("a"))
            await asyncio.get_running_loop().run_in_executor(None, _failed_over, sentinel)
            await asyncio.sleep(5)  # renewed by the new master
            lock.raise_if_lost()
            assert sentinel.replica.holders("a")[0]["fence"] == lock.token
        assert sentinel.replica.nothing_left("a")

    asyncio.run(main())
    sentinel.master.start()


def test_a_demoted_server_is_left(own_server: Server) -> None:
    """READONLY is what a demoted server answers: the lock is not ours to keep there."""
    with pytest.raises(LockLost), Locks(Redis(**own_server.settings())).lock("a", ttl=0.6) as lock:
        own_server.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        until(lambda: lock.lost)
    own_server.redis.execute_command("REPLICAOF", "NO", "ONE")


def test_asyncio_client_of_a_cluster_node_is_told_to_use_the_cluster_class(cluster: ClusterServers) -> None:
    async def main() -> None:
        key = next(key for key in KEYS if cluster.owner_of(key) is not cluster.nodes[0])
        with pytest.raises(LockConfig, match="Cluster class"):
            await aio.Locks(AsyncRedis(port=cluster.nodes[0].port)).acquire(key, ttl=30)

    asyncio.run(main())
