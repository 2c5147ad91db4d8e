"""What locks do, for asyncio."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from clients import AsyncRedis, Redis
from proxy import Proxy
from servers import Server, until

from redislocks.asyncio import Deadlock, LockConfig, LockHeld, LockLost, Locks


@asynccontextmanager
async def locks_of(server: Server, **settings: Any) -> AsyncIterator[Locks]:
    redis = AsyncRedis(**{**server.settings(), **settings})
    try:
        yield Locks(redis)
    finally:
        await (redis.aclose() if hasattr(redis, "aclose") else redis.close())


async def soon(condition: Callable[[], Any], seconds: float = 10) -> None:
    """Polls while other tasks go on."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        await asyncio.sleep(0.005)


Test = Callable[..., Coroutine[Any, Any, None]]


def test_one_at_a_time_and_tokens_rise(server: Server) -> None:
    async def main(protocol: int) -> None:
        async with locks_of(server, protocol=protocol) as locks:
            async with locks.lock("a", ttl=30, meta="host 7") as first:
                assert server.holders("a")[0]["meta"] == "host 7"
                with pytest.raises(LockHeld):
                    await locks.acquire("a", ttl=30)
            assert server.nothing_left("a")
            second = await locks.acquire("a", ttl=30)
            assert second.token > first.token
            assert await second.release() is True

    asyncio.run(main(2))
    asyncio.run(main(3))


def test_fifty_waits_at_once_in_the_order_of_arrival(server: Server) -> None:
    async def main() -> None:
        async with locks_of(server) as locks:
            order: list[int] = []

            async def wait(i: int) -> None:
                async with locks.lock("a", ttl=30, wait=20):
                    order.append(i)

            held = await locks.acquire("a", ttl=30)
            tasks = []
            for i in range(50):
                tasks.append(asyncio.create_task(wait(i)))
                await soon(lambda i=i: server.waiting("a") == i + 1)  # type: ignore[misc]
            await held.release()
            await asyncio.gather(*tasks)
            assert order == list(range(50))
        assert server.nothing_left("a")

    asyncio.run(main())


def test_two_waits_at_once_never_wait_for_each_other(server: Server) -> None:
    async def main() -> None:
        async with locks_of(server) as locks:
            a, b = await locks.acquire("a", ttl=30), await locks.acquire("b", ttl=30)
            waits = [asyncio.create_task(locks.acquire(k, ttl=30, wait=10)) for k in "ab"]
            await soon(lambda: server.waiting("a") and server.waiting("b"))
            await b.release()
            assert await (await waits[1]).release() is True
            assert server.waiting("a") == 1
            await a.release()
            assert await (await waits[0]).release() is True

    asyncio.run(main())


def test_a_wait_outlasts_the_clients_own_time_limit(server: Server) -> None:
    async def main() -> None:
        async with locks_of(server, socket_timeout=0.2) as locks:
            held = await locks.acquire("a", ttl=30)
            waiting = asyncio.create_task(locks.acquire("a", ttl=30, wait=math.inf))
            await soon(lambda: server.waiting("a"))
            client = server.info("a")["waiters"][0]["client"]
            await asyncio.sleep(1)
            assert server.info("a")["waiters"][0]["client"] == client
            await held.release()
            assert await (await waiting).release() is True

    asyncio.run(main())


def test_several_keys_are_waited_for_and_kept_meanwhile(server: Server) -> None:
    async def main() -> None:
        async with locks_of(server) as locks:
            held = await locks.acquire("{x}2", ttl=30)
            waiting = asyncio.create_task(locks.acquire(["{x}2", "{x}1"], ttl=0.5, wait=10))
            await soon(lambda: server.waiting("{x}2"))
            first = server.holders("{x}1")[0]["owner"]
            await asyncio.sleep(1)
            assert server.holders("{x}1")[0]["owner"] == first
            await held.release()
            lock = await waiting
            assert [h["fence"] for k in ("{x}1", "{x}2") for h in server.holders(k)] == [lock.token] * 2
            await lock.release()
        assert server.nothing_left("{x}1", "{x}2")

    asyncio.run(main())


def test_a_circle_is_told_at_once(server: Server) -> None:
    async def main() -> None:
        async with locks_of(server) as locks:
            one, other = locks.work(), locks.work()
            async with one.lock("a", ttl=30), other.lock("b", ttl=30):
                waiting = asyncio.create_task(one.acquire("b", ttl=30, wait=10))
                await soon(lambda: server.waiting("b"))
                with pytest.raises(Deadlock):
                    await other.acquire("a", ttl=30, wait=10)
            await (await waiting).release()
        assert server.nothing_left("a", "b")

    asyncio.run(main())


def test_a_block_renews_and_a_bare_acquire_does_only_if_told(server: Server) -> None:
    async def main() -> None:
        async with locks_of(server) as locks, locks.lock("block", ttl=0.4) as block:
            renewed = await locks.acquire("renewed", ttl=0.4, renew=True)
            bare = await locks.acquire("bare", ttl=0.4)
            await asyncio.sleep(1)
            block.raise_if_lost()
            renewed.raise_if_lost()
            with pytest.raises(LockLost, match="not renewed in time"):
                bare.raise_if_lost()
            assert await renewed.release() is True
            assert await bare.release() is False
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_locked_decorates_async_functions(server: Server) -> None:
    async def main() -> None:
        async with locks_of(server) as locks:

            @locks.locked("invoice:{order_id}", ttl=10)
            async def bill(order_id: int) -> int:
                return len(server.holders(f"invoice:{order_id}"))

            assert await bill(7) == 1
            assert server.nothing_left("invoice:7")
            with pytest.raises(LockConfig, match="no async function"):
                locks.locked("invoice", ttl=10)(lambda: None)  # type: ignore[arg-type, return-value]

    asyncio.run(main())


def test_a_blocking_client_is_refused() -> None:
    with pytest.raises(LockConfig, match="use Locks of redislocks for it"):
        Locks(Redis())


# --- loss


async def deleted(server: Server, lock: Any) -> None:
    server.redis.delete("a")


async def loop_blocked(server: Server, lock: Any) -> None:
    time.sleep(0.6)  # no timer and no renewal can run
    with pytest.raises(LockLost, match="not renewed in time"):  # but the clock tells
        lock.raise_if_lost()
    assert lock.lost


async def frozen(server: Server, lock: Any) -> None:
    server.freeze()


async def killed(server: Server, lock: Any) -> None:
    server.kill()


@pytest.mark.parametrize("happens", [deleted, loop_blocked, frozen, killed])
def test_a_loss_cancels_the_body_and_the_block_raises_lock_lost(
    own_server: Server, happens: Callable[[Server, Any], Awaitable[None]]
) -> None:
    async def main() -> None:
        async with locks_of(own_server) as locks:
            began = time.monotonic()
            cancelled = False
            with pytest.raises(LockLost):
                async with locks.lock("a", ttl=0.5) as lock:
                    await happens(own_server, lock)
                    try:
                        await asyncio.sleep(20)
                    except asyncio.CancelledError:
                        cancelled = True
                        assert time.monotonic() - began < 1  # at the end of its validity at the latest
                        raise
            assert cancelled
            await asyncio.sleep(0)  # nothing is left of the cancellation
            task = asyncio.current_task()
            assert not hasattr(task, "cancelling") or task.cancelling() == 0  # type: ignore[union-attr]
        assert time.monotonic() - began < 5

    asyncio.run(main())
    if own_server.process.returncode is not None:
        own_server.start()


def test_a_foreign_cancellation_stays_one(server: Server) -> None:
    """Also where the lock is lost in the same moment, whichever came first (on Python 3.10: if it came first)."""

    async def main(order: str) -> BaseException:
        async with locks_of(server) as locks:

            async def body() -> None:
                async with locks.lock("a", ttl=30) as lock:
                    block.append(lock)
                    await asyncio.sleep(20)

            block: list[Any] = []
            task = asyncio.create_task(body())
            await soon(lambda: block)
            lose = block[0]._hold.on_stop.__self__._on_lost  # what the timers call
            for step in order:
                block[0]._hold.validity.lose("in this test") if step == "l" else None
                lose() if step == "l" else task.cancel()
            try:
                await task
            except BaseException as error:
                return error
            raise AssertionError

    assert isinstance(asyncio.run(main("c")), asyncio.CancelledError)
    assert isinstance(asyncio.run(main("l")), LockLost)
    assert isinstance(asyncio.run(main("cl")), asyncio.CancelledError)
    both = asyncio.run(main("lc"))
    assert isinstance(both, asyncio.CancelledError if hasattr(asyncio.Task, "uncancel") else LockLost)
    assert server.nothing_left("a")


def test_blocks_in_each_other_that_are_both_lost(server: Server) -> None:
    async def main() -> None:
        async with locks_of(server) as locks:
            with pytest.raises(LockLost):
                async with locks.lock("a", ttl=0.4), locks.lock("b", ttl=0.4):
                    server.redis.delete("a", "b")
                    await asyncio.sleep(20)
            await asyncio.sleep(0)

    asyncio.run(main())


def test_an_error_of_the_body_goes_before_the_loss(server: Server) -> None:
    async def main() -> None:
        async with locks_of(server) as locks:
            with pytest.raises(ZeroDivisionError):
                async with locks.lock("a", ttl=30):
                    server.redis.delete("a")
                    1 / 0  # noqa: B018

    asyncio.run(main())


def test_a_timeout_around_a_wait_leaves_no_ghost(server: Server) -> None:
    async def main() -> None:
        async with locks_of(server) as locks, locks.lock("a", ttl=30):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(locks.acquire("a", ttl=30, wait=10), 0.2)
            assert server.waiting("a") == 0

    asyncio.run(main())
    assert server.nothing_left("a")


def test_a_program_that_ends_leaves_nothing(server: Server) -> None:
    """asyncio.run cancels what still runs; connections are closed with the loop."""

    async def main() -> None:
        async with locks_of(server) as locks:

            async def hold(key: str, **options: Any) -> None:
                async with locks.lock(key, ttl=30, **options):
                    await asyncio.sleep(20)

            tasks = [asyncio.create_task(hold("a")), asyncio.create_task(hold("b"))]
            await soon(lambda: server.holders("a") and server.holders("b"))
            tasks.append(asyncio.create_task(hold("a", wait=20)))
            await soon(lambda: server.waiting("a"))

    before = server.redis.info("clients")["connected_clients"]
    asyncio.run(main())
    assert server.nothing_left("a", "b")
    until(lambda: server.redis.info("clients")["connected_clients"] == before)


def test_a_request_that_comes_late_harms_nobody(server: Server, proxy: Proxy) -> None:
    """Given up after two seconds and asked anew; when the first arrives after all, it takes and undoes its own."""

    async def main() -> None:
        redis = AsyncRedis(port=proxy.port)
        locks = Locks(redis)
        proxy.hold_back("LOCK.ACQUIRE")
        async with locks.lock("a", ttl=30, wait=10) as lock:
            proxy.deliver()
            assert [h["fence"] for h in server.holders("a")] == [lock.token]
            proxy.lose_answer_to("LOCK.EXTEND")
            await lock.extend(40)
            proxy.lose_answer_to("LOCK.RELEASE")  # its second sending is answered by 0, which is no loss
        assert await lock.release() is True
        assert server.nothing_left("a")

    asyncio.run(main())


def test_one_locks_object_on_several_loops(server: Server) -> None:
    redis = AsyncRedis(**server.settings())
    locks = Locks(redis)

    async def main() -> None:
        async with locks.lock("a", ttl=30):
            pass

    asyncio.run(main())
    asyncio.run(main())
    assert server.nothing_left("a")
