"""TLS with the user's own authority and certificate: each connection of a lock has them, that of a wait too."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import SERVER, Certificates, missing
from clients import PACKAGE, AsyncRedis, AsyncRedisCluster, AsyncSentinel, Redis, RedisCluster, Sentinel
from servers import ClusterServers, Server, free_port, in_thread, until

from redislocks import LockConfig, Locks
from redislocks import asyncio as aio
from redislocks._request import Request
from redislocks._steps import Ask

WHY_NOT = "" if "REDIS_LOCK_SKIP_NOTHING" in os.environ else missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

# Longer than any time limit for an answer that needs no wait.
LONG = 2.5


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_server(certificates: Certificates) -> Iterator[Server]:
    server = Server(port=free_port(), certificates=certificates)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tls_cluster(certificates: Certificates) -> Iterator[ClusterServers]:
    cluster = ClusterServers(certificates=certificates)
    yield cluster
    cluster.stop()


@pytest.fixture
def sentinel_port(tls_server: Server, certificates: Certificates, tmp_path: Path) -> Iterator[int]:
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(f"sentinel monitor main 127.0.0.1 {tls_server.port} 1\n")
    command = [SERVER, str(config), "--sentinel", "--dir", str(tmp_path), "--logfile", "log"]
    process = subprocess.Popen([*command, *certificates.of_server(port)], stdout=subprocess.DEVNULL)
    yield port
    process.kill()
    process.wait()


def url(server: Server) -> str:
    return f"{'rediss' if PACKAGE == 'redis' else 'valkeys'}://localhost:{server.port}"


def works(locks: Locks, server: Server, key: str) -> None:
    """It locks, and waits in one place for as long as it takes."""
    with locks.lock(key, ttl=30) as lock:
        waiting = in_thread(lambda: locks.acquire(key, ttl=30, wait=20))
        place = until(lambda: server.in_line(key))[0]["client"]
        time.sleep(LONG)
        lock.raise_if_lost()
        assert [waiter["client"] for waiter in server.in_line(key)] == [place]
    assert waiting().release() is True
    assert server.nothing_left(key)


async def works_in_asyncio(locks: aio.Locks, server: Server, key: str) -> None:
    async with locks.lock(key, ttl=30):
        waiting = asyncio.create_task(locks.acquire(key, ttl=30, wait=20))
        await stands_in_line(server, key, 1)
        place = server.in_line(key)[0]["client"]
        given_up = asyncio.create_task(locks.acquire(key, ttl=30, wait=20))
        await stands_in_line(server, key, 2)
        given_up.cancel()
        await stands_in_line(server, key, 1)
        await asyncio.sleep(LONG)
        assert [waiter["client"] for waiter in server.in_line(key)] == [place]
    assert await (await waiting).release() is True
    assert server.nothing_left(key)


async def stands_in_line(server: Server, key: str, count: int) -> None:
    await asyncio.to_thread(until, lambda: server.waiting(key) == count)


async def close(redis: Any) -> None:
    await (redis.aclose() if hasattr(redis, "aclose") else redis.close())


def test_one_server(tls_server: Server, certificates: Certificates) -> None:
    works(Locks(Redis.from_url(url(tls_server), **certificates.of_client())), tls_server, "a")


def test_what_tls_says_by_itself_is_no_answer(tls_server: Server, certificates: Certificates) -> None:
    """A new session brings tickets. Where the client says no hello, they are the first that comes."""
    silent = {"protocol": 2, "lib_name": None, "lib_version": None}
    locks = Locks(Redis.from_url(url(tls_server), **certificates.of_client(), **silent))
    request = Request.of("e", ttl=30, wait=LONG)
    with locks.lock("e", ttl=30):
        locks.close()
        ask = Ask(request.keys, (request.acquire_in_line("another", LONG),), limit=LONG + 1)
        assert locks._engine.connections.ask(ask).value is None


def test_a_certificate_that_is_not_taken_is_told_at_once(tls_server: Server, certificates: Certificates) -> None:
    theirs, nobody = certificates.of_client("other"), {"ssl_ca_certs": certificates.of_client()["ssl_ca_certs"]}
    for settings, match in ((theirs, "(?i)certificate.verify.failed"), (nobody, "(?i)certificate.required")):
        began = time.monotonic()
        with pytest.raises(LockConfig, match=match):
            Locks(Redis.from_url(url(tls_server), **settings)).acquire("a", ttl=30, wait=10)
        with pytest.raises(LockConfig, match=match):
            asyncio.run(aio.Locks(AsyncRedis.from_url(url(tls_server), **settings)).acquire("a", ttl=30, wait=10))
        assert time.monotonic() - began < 5


def test_one_server_asyncio(tls_server: Server, certificates: Certificates) -> None:
    async def main() -> None:
        redis = AsyncRedis.from_url(url(tls_server), **certificates.of_client())
        await works_in_asyncio(aio.Locks(redis), tls_server, "b")
        await close(redis)

    asyncio.run(main())


def test_cluster(tls_cluster: ClusterServers, certificates: Certificates) -> None:
    redis = RedisCluster(host="localhost", port=tls_cluster.nodes[0].port, ssl=True, **certificates.of_client())
    key = next(key for key in ("k1", "k2", "k3") if tls_cluster.owner_of(key) is not tls_cluster.nodes[0])
    works(Locks(redis), tls_cluster.owner_of(key), key)


def test_cluster_asyncio(tls_cluster: ClusterServers, certificates: Certificates) -> None:
    async def main() -> None:
        port = tls_cluster.nodes[0].port
        redis = AsyncRedisCluster(host="localhost", port=port, ssl=True, **certificates.of_client())
        await asyncio.gather(
            *(works_in_asyncio(aio.Locks(redis), tls_cluster.owner_of(key), key) for key in ("k4", "k5", "k6"))
        )
        await close(redis)

    asyncio.run(main())


def test_sentinel(tls_server: Server, sentinel_port: int, certificates: Certificates) -> None:
    settings = {"ssl": True, **certificates.of_client()}
    sentinel = Sentinel([("localhost", sentinel_port)], sentinel_kwargs=settings, **settings)
    until(lambda: sentinel.discover_master("main"))
    works(Locks(sentinel.master_for("main")), tls_server, "c")


def test_sentinel_asyncio(tls_server: Server, sentinel_port: int, certificates: Certificates) -> None:
    async def main() -> None:
        settings = {"ssl": True, **certificates.of_client()}
        sentinel = AsyncSentinel([("localhost", sentinel_port)], sentinel_kwargs=settings, **settings)
        redis: Any = sentinel.master_for("main")
        await works_in_asyncio(aio.Locks(redis), tls_server, "d")
        for client in (redis, *sentinel.sentinels):
            await close(client)

    asyncio.run(main())
