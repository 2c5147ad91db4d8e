"""Leader election: many run this, one leads. When it dies or loses the lock, the next in line is elected."""

import asyncio
import math
import os

import redis.asyncio

from redislocks.asyncio import LockLost, Locks, LockUnavailable


async def lead(token: int) -> None:
    """The work of the leader, cancelled when it is no longer that. What it writes carries the token."""
    print("elected under token", token, flush=True)
    while True:
        await asyncio.sleep(1)


async def main() -> None:
    locks = Locks(redis.asyncio.Redis())
    while True:
        try:
            async with locks.lock("leader", ttl=10, wait=math.inf, meta=f"process {os.getpid()}") as lock:
                await lead(lock.token)
        except LockLost as error:
            print("lost:", error, flush=True)
        except LockUnavailable as error:
            print("no election:", error, flush=True)
            await asyncio.sleep(1)


asyncio.run(main())
