"""Cancelled at each point where a task can be cancelled, nothing is left: nobody in line, no lock held."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest
from clients import AsyncRedis
from servers import Server, until

from redislocks.asyncio import LockLost, Locks

Body = Callable[[Locks], Coroutine[Any, Any, None]]


@types.coroutine
def cancelled_at(coroutine: Coroutine[Any, Any, Any], steps: set[int]) -> Generator[Any, Any, int]:
    """Runs it and cancels the task whenever it suspends for a time whose number is in `steps`. Returns how often
    it suspended."""
    task = asyncio.current_task()
    assert task is not None
    count = 0
    send: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731
    while True:
        try:
            waits_for = send()
        except StopIteration:
            return count
        if count in steps:
            task.cancel()
        count += 1
        try:
            yield waits_for
        except BaseException as error:
            send = lambda error=error: coroutine.throw(error)  # type: ignore[misc]  # noqa: E731
        else:
            send = lambda: coroutine.send(None)  # noqa: E731


async def block(locks: Locks) -> None:
    async with locks.lock("a", ttl=30):
        await asyncio.sleep(0)


async def block_in_line(locks: Locks) -> None:
    async with locks.lock("a", ttl=30, wait=10):
        await asyncio.sleep(0)


async def block_of_several(locks: Locks) -> None:
    async with locks.lock(["b", "a"], ttl=30, wait=10):
        await asyncio.sleep(0)


async def bare(locks: Locks) -> None:
    lock = await locks.acquire("a", ttl=30, wait=10)
    try:
        await asyncio.sleep(0)
    finally:
        await lock.release()


async def renewed(locks: Locks) -> None:
    async with locks.lock("a", ttl=0.1):
        for _ in range(8):
            await asyncio.sleep(0.01)


async def once(server: Server, body: Body, steps: set[int], warm: bool, held: bool) -> int | None:
    """How often it suspended; None: it was cancelled."""
    redis = AsyncRedis(**server.settings())
    locks = Locks(redis)
    if warm:
        async with locks.lock("warm", ttl=30):
            pass
    holder = await locks.acquire("a", ttl=30) if held else None
    task = asyncio.ensure_future(_as_coroutine(cancelled_at(body(locks), steps)))
    if holder is not None:
        await asyncio.wait({task}, timeout=0.01)
        await holder.release()
    await asyncio.wait({task})
    result = None if task.cancelled() else task.result()
    await (redis.aclose() if hasattr(redis, "aclose") else redis.close())
    return result


async def _as_coroutine(generator: Any) -> Any:
    return await generator


@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "used connection"])
@pytest.mark.parametrize(
    ("body", "held"),
    [(body, False) for body in (block, block_in_line, block_of_several, bare, renewed)]
    + [(body, True) for body in (block_in_line, block_of_several, bare)],
)
@pytest.mark.parametrize("again", [None, 1, 2], ids=["once", "and at the next", "and at the one after"])
def test_nothing_is_left(server: Server, body: Body, held: bool, warm: bool, again: int | None) -> None:
    count = asyncio.run(once(server, body, set(), warm, held))
    assert count is not None
    until(lambda: server.nothing_left("a", "b"))
    cancelled = 0
    for step in range(count + 2):
        steps = {step} if again is None else {step, step + again}
        cancelled += asyncio.run(once(server, body, steps, warm, held)) is None
        # No ttl helps: it is 30 s, or renewed.
        until(lambda: server.nothing_left("a", "b"), 1)
    assert cancelled >= count  # and a cancellation was never swallowed


def test_cancelled_in_line_it_leaves_at_once(server: Server) -> None:
    async def main() -> None:
        redis = AsyncRedis(**server.settings())
        locks = Locks(redis)
        async with locks.lock("a", ttl=30):
            task = asyncio.ensure_future(block_in_line(locks))
            while not server.waiting("a"):
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert server.waiting("a") == 0

    asyncio.run(main())


def test_the_way_of_asyncio_timeout_inside_a_block(server: Server) -> None:
    """A timeout of the body's own stays one, and the lock goes with the block."""

    async def main() -> None:
        redis = AsyncRedis(**server.settings())
        locks = Locks(redis)
        with pytest.raises(asyncio.TimeoutError):
            async with locks.lock("a", ttl=30):
                await asyncio.wait_for(asyncio.sleep(20), 0.05)
        with pytest.raises(LockLost):
            async with locks.lock("a", ttl=0.4):
                server.redis.delete("a")
                await asyncio.wait_for(asyncio.sleep(20), 10)

    asyncio.run(main())
    assert server.nothing_left("a")
