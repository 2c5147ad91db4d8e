"""Locks on Redis and Valkey, over the client that you have: the client of the redis-lock module.

>>> locks = Locks(redis.Redis())
>>> with locks.lock("report", ttl=30, wait=60) as lock:
...     write(rows, fence=lock.token)

For asyncio the same from `redislocks.asyncio`.
"""

from ._locks import Block, Lock, Locks, Work
from .errors import Deadlock, LockConfig, LockError, LockHeld, LockLost, LockUnavailable

__all__ = [
    "Block",
    "Deadlock",
    "Lock",
    "LockConfig",
    "LockError",
    "LockHeld",
    "LockLost",
    "LockUnavailable",
    "Locks",
    "Work",
]
