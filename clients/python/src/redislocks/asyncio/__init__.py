"""Locks for asyncio, over an asyncio client of redis-py or valkey-py.

>>> locks = Locks(redis.asyncio.Redis())
>>> async with locks.lock("report", ttl=30, wait=60) as lock:    # cancelled, then LockLost, if it is lost
...     await write(rows, fence=lock.token)
"""

from ..errors import Deadlock, LockConfig, LockError, LockHeld, LockLost, LockUnavailable
from ._locks import Block, Lock, Locks, Work

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
