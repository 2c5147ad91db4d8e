"""valkey-py's own lock, kept by the server: `r.lock("x", timeout=10, lock_class=Lock)`; for asyncio `AsyncLock`."""

from __future__ import annotations

import valkey.asyncio.lock
import valkey.exceptions
import valkey.lock

from . import _drop_in


class Lock(_drop_in.BlockingLock, valkey.lock.Lock):
    """For `valkey.Valkey.lock(..., lock_class=Lock)`."""

    errors = valkey.exceptions


class AsyncLock(_drop_in.AsyncLock, valkey.asyncio.lock.Lock):
    """For `valkey.asyncio.Valkey.lock(..., lock_class=AsyncLock)`."""

    errors = valkey.exceptions
