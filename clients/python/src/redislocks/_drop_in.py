"""What redis-py's and valkey-py's own Lock classes become when the server keeps the lock.

Mixed in before such a class. Its programs stay as they are: the same arguments, the same errors, `local.token`
still names the holder. What a lock does beyond that: who waits stands in line on the server instead of asking
again and again, and `token` is a fencing token.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from . import _steps
from ._hold import Hold
from ._locks import Engine, Locks
from ._request import Owner, Request
from ._steps import Steps
from .asyncio._locks import Engine as AsyncEngine
from .asyncio._locks import Locks as AsyncLocks
from .errors import LockConfig, LockHeld, LockUnavailable

T = TypeVar("T")


class Common:
    """What needs no server. The attributes are those of the class that this is mixed into."""

    name: Any
    timeout: float | None
    sleep: float
    blocking: bool
    blocking_timeout: float | None
    local: Any
    # Of the client's package: what its programs catch.
    errors: Any

    def __init__(self, redis: Any, name: str, timeout: float | None = None, **options: Any) -> None:
        if timeout is None:
            raise LockConfig(
                f"{name}: timeout=None would be a lock without a time limit, which nobody could take any more after "
                "a crash. Give a timeout, say timeout=10, and call extend() or reacquire() while you work"
            )
        self._request = Request.of(name, ttl=timeout)
        self._client = redis
        super().__init__(redis, name, timeout=timeout, **options)  # type: ignore[call-arg]
        self.local.fence = None

    def register_scripts(self) -> None:
        """There are none: the commands are the server's own."""

    @property
    def token(self) -> int | None:
        """The fencing token of this holder (this thread's, with thread_local), else None. `local.token` is what
        the server knows the holder by."""
        return getattr(self.local, "fence", None) if self.local.token is not None else None

    def _wait(self, blocking: bool | None, blocking_timeout: float | None) -> float:
        if not (self.blocking if blocking is None else blocking):
            return 0.0
        limit = self.blocking_timeout if blocking_timeout is None else blocking_timeout
        return math.inf if limit is None else max(0.0, limit)

    def _waiting(self, wait: float) -> Request:
        return Request(self._request.keys, self._request.ttl_ms, max(0.0, wait), self._request.options)

    def _hold(self, owner: Owner) -> Hold:
        """As far as it can be known: another process may have acquired it, and handed over `local.token`."""
        return Hold(self._request, owner, 0, math.inf)

    def _took(self, hold: Hold) -> None:
        self.local.token = hold.owner.encode() if isinstance(hold.owner, str) else hold.owner
        self.local.fence = hold.token

    def _ttl_ms(self, additional: float, left_ms: int | None) -> int:
        return int(additional * 1000) + (left_ms or 0)

    def _must(self, done: bool, what: str) -> None:
        if not done:
            raise self.errors.LockNotOwnedError(f"Cannot {what} a lock that's no longer owned")

    def _unavailable(self, error: LockUnavailable) -> BaseException:
        """As the client says it."""
        theirs: tuple[type[Exception], ...] = (
            self.errors.ConnectionError,
            self.errors.TimeoutError,
            self.errors.ResponseError,
        )
        cause = error.__cause__
        if isinstance(cause, theirs):
            return cause
        timeout: Exception = self.errors.TimeoutError(str(error))
        return timeout

    def _is_mine(self, stored: Any) -> bool:
        stored = stored.encode() if isinstance(stored, str) else stored
        return self.local.token is not None and bool(stored == self.local.token)


class BlockingLock(Common):
    """Before the Lock of the package's clients for threads."""

    def acquire(
        self,
        sleep: float | None = None,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: Owner | None = None,
    ) -> bool:
        """True once it is ours, False where it did not come in time."""
        deadline = time.monotonic() + self._wait(blocking, blocking_timeout)
        pause = self.sleep if sleep is None else sleep
        while True:
            try:
                hold = self._locks.hold(self._waiting(deadline - time.monotonic()), token)
            except LockHeld:
                return False
            except LockUnavailable as error:
                raise self._unavailable(error) from error
            except LockConfig as error:
                # A lock of a program that still uses the client's own class: it has no line.
                if not error._other_type:
                    raise
                if time.monotonic() + pause > deadline:
                    return False
                time.sleep(pause)
                continue
            self._took(hold)
            return True

    def locked(self) -> bool:
        """By whomever."""
        try:
            return self._client.execute_command("LOCK.OWNER", self.name) is not None
        except self.errors.ResponseError as error:
            return _other_type(error)

    def owned(self) -> bool:
        """By this one."""
        try:
            return self._is_mine(self._client.execute_command("LOCK.OWNER", self.name))
        except self.errors.ResponseError as error:
            return not _other_type(error)

    def do_release(self, expected_token: Owner) -> None:
        self._must(self._run(_steps.release(self._hold(expected_token))) is not False, "release")

    def do_extend(self, additional_time: float, replace_ttl: bool) -> Literal[True]:
        left = 0 if replace_ttl else self._client.execute_command("LOCK.TTL", self.name)
        return self._prolong(self._ttl_ms(additional_time, left), "extend")

    def do_reacquire(self) -> Literal[True]:
        return self._prolong(self._request.ttl_ms, "reacquire")

    def _prolong(self, ttl_ms: int, what: str) -> Literal[True]:
        self._must(self._run(_steps.extend(self._hold(self.local.token), ttl_ms)) is None, what)
        return True

    def _run(self, steps: Steps[T]) -> T:
        try:
            return self._locks.run(steps)
        except LockUnavailable as error:
            raise self._unavailable(error) from error

    @property
    def _locks(self) -> Engine:
        return _once(self._client, Locks)._engine


class AsyncLock(Common):
    """Before the Lock of the package's clients for asyncio."""

    async def acquire(
        self,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: Owner | None = None,
    ) -> bool:
        """True once it is ours, False where it did not come in time."""
        deadline = time.monotonic() + self._wait(blocking, blocking_timeout)
        while True:
            try:
                hold = await self._locks.hold(self._waiting(deadline - time.monotonic()), token)
            except LockHeld:
                return False
            except LockUnavailable as error:
                raise self._unavailable(error) from error
            except LockConfig as error:
                # A lock of a program that still uses the client's own class: it has no line.
                if not error._other_type:
                    raise
                if time.monotonic() + self.sleep > deadline:
                    return False
                await asyncio.sleep(self.sleep)
                continue
            self._took(hold)
            return True

    async def locked(self) -> bool:
        """By whomever."""
        try:
            return await self._client.execute_command("LOCK.OWNER", self.name) is not None
        except self.errors.ResponseError as error:
            return _other_type(error)

    async def owned(self) -> bool:
        """By this one."""
        try:
            return self._is_mine(await self._client.execute_command("LOCK.OWNER", self.name))
        except self.errors.ResponseError as error:
            return not _other_type(error)

    async def do_release(self, expected_token: Owner) -> None:
        self._must(await self._run(_steps.release(self._hold(expected_token))) is not False, "release")

    async def do_extend(self, additional_time: float, replace_ttl: bool) -> Literal[True]:
        left = 0 if replace_ttl else await self._client.execute_command("LOCK.TTL", self.name)
        return await self._prolong(self._ttl_ms(additional_time, left), "extend")

    async def do_reacquire(self) -> Literal[True]:
        return await self._prolong(self._request.ttl_ms, "reacquire")

    async def _prolong(self, ttl_ms: int, what: str) -> Literal[True]:
        self._must(await self._run(_steps.extend(self._hold(self.local.token), ttl_ms)) is None, what)
        return True

    async def _run(self, steps: Steps[T]) -> T:
        try:
            return await self._locks.run(steps)
        except LockUnavailable as error:
            raise self._unavailable(error) from error

    @property
    def _locks(self) -> AsyncEngine:
        return _once(self._client, AsyncLocks)._engine


L = TypeVar("L")


def _once(client: Any, locks: Callable[[Any], L]) -> L:
    """The client's one Locks object, kept with it."""
    kept: L | None = client.__dict__.get("_redislocks")
    if kept is None:
        kept = client.__dict__["_redislocks"] = locks(client)
    return kept


def _other_type(error: Exception) -> bool:
    """True where something else than a lock lies at the key; any other error is raised again."""
    if "WRONGTYPE" not in str(error):
        raise error
    return True
