"""redis-py's own lock, kept by the server: `r.lock("x", timeout=10, lock_class=Lock)`; for asyncio `AsyncLock`."""

from __future__ import annotations

import redis.asyncio.lock
import redis.exceptions
import redis.lock

from . import _drop_in


class Lock(_drop_in.BlockingLock, redis.lock.Lock):
    """For `redis.Redis.lock(..., lock_class=Lock)`."""

    errors = redis.exceptions


class AsyncLock(_drop_in.AsyncLock, redis.asyncio.lock.Lock):
    """For `redis.asyncio.Redis.lock(..., lock_class=AsyncLock)`."""

    errors = redis.exceptions
