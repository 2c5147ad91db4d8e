import asyncio

import redis.asyncio

from redislocks.asyncio import Locks


async def main() -> None:
    locks = Locks(redis.asyncio.Redis())
    async with locks.lock("report", ttl=30, wait=60) as lock:  # LockLost if it is lost meanwhile
        print("Working under token", lock.token)


asyncio.run(main())
