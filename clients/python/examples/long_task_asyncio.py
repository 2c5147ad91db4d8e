"""Longer than the ttl: renewed while the block runs, and cancelled when the lock is lost."""

import asyncio

import redis.asyncio

from redislocks.asyncio import LockLost, Locks


async def main() -> None:
    locks = Locks(redis.asyncio.Redis())
    try:
        async with locks.lock("resource_lock", ttl=2):
            for step in range(1, 6):
                await asyncio.sleep(1)  # ends here when the lock is lost
                print("Step", step)
        print("Task done.")
    except LockLost as error:
        print("Task stopped:", error)


asyncio.run(main())
