"""Locks for asyncio, over an asyncio client."""

from __future__ import annotations

import asyncio
import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from .. import _steps
from .._client import Client, topology
from .._granted import Granted, log
from .._hold import Hold
from .._request import Keys, Owner, Request
from .._steps import Answer, Ask, Keep, Step, Steps
from .._template import filler
from .._times import Duration, ttl_ms
from .._work import WorkOwner
from ..errors import LockConfig, LockHeld, LockLost, LockUnavailable
from ._cancelling import Canceller, uninterrupted
from ._connections import Connections
from ._keeper import Keeper

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Lock(Granted):
    """A lock that was granted."""

    def __init__(self, hold: Hold, engine: Engine) -> None:
        super().__init__(hold)
        self._engine = engine

    def _keep(self, on_lost: Callable[[], None]) -> None:
        self._engine.keep(self._hold, on_lost)

    async def extend(self, ttl: Duration | None = None) -> None:
        """Valid for at least `ttl` (as at the acquire, if not given) from now. LockLost where it is lost."""
        self.raise_if_lost()
        ms = self._hold.request.ttl_ms if ttl is None else ttl_ms(ttl)
        await self._engine.run(_steps.extend(self._hold, ms))
        self.raise_if_lost()

    async def release(self) -> bool:
        """True: it was ours until now. False: it was lost before. LockUnavailable where the server can't be
        asked: its ttl ends the lock."""
        if self._hold.validity.forked:
            return False
        if self._released is None:
            was_ours = not self.lost
            self._hold.stop()
            released = await self._engine.run(_steps.release(self._hold))
            return self._note_release(was_ours, released)
        return self._released

    async def _leave(self, failed: bool) -> None:
        """The end of a block: released, and LockLost if it was not ours until then. An error of the block's own
        goes before."""
        if self._released is not None:
            return  # by the block itself, which was told what came of it
        loss = self._hold.loss()
        try:
            if not await self.release() and loss is None:
                loss = LockLost(f"{self._hold.request}: lost: it was gone when it was to be released")
        except LockUnavailable as error:
            log.warning("Not released, its ttl ends it: %s", error)
        except LockConfig:
            if not failed:
                raise
        if loss is not None and not failed:
            raise loss


class Block:
    """`async with locks.lock(...) as lock:` acquires, renews while the block runs, and releases. The task is
    cancelled when the lock is lost, and the block raises LockLost then."""

    def __init__(self, request: Request, acquire: Callable[[Request], Awaitable[Lock]]) -> None:
        self._request = request
        self._acquire = acquire
        self._lock: Lock | None = None
        self._canceller: Canceller | None = None

    async def __aenter__(self) -> Lock:
        if self._canceller is not None:
            raise LockConfig(f"{self._request}: this block is entered already: call lock() for each")
        self._canceller = Canceller()
        try:
            self._lock = await self._acquire(self._request)
        except BaseException:
            self._canceller = None
            raise
        self._lock._keep(self._canceller.cancel)
        return self._lock

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._lock is not None and self._canceller is not None
        lock, canceller = self._lock, self._canceller
        self._lock = self._canceller = None
        lock._hold.stop()  # from here on nobody is cancelled
        cancelled_by_us = canceller.was_ours_alone(error)
        await lock._leave(failed=error is not None and not cancelled_by_us)


class _Taking(ABC):
    """What Locks and Work have in common."""

    @abstractmethod
    async def _take(self, request: Request) -> Lock: ...

    def lock(
        self,
        keys: Keys,
        *,
        ttl: Duration,
        wait: Duration | None = None,
        shared: bool = False,
        limit: int | None = None,
        fence: int | None = None,
        meta: str | None = None,
    ) -> Block:
        """For an `async with` block, in which it is renewed. LockHeld where it does not come within `wait`."""
        request = Request.of(keys, ttl=ttl, wait=wait, shared=shared, limit=limit, fence=fence, meta=meta)
        return Block(request, self._take)

    async def acquire(
        self,
        keys: Keys,
        *,
        ttl: Duration,
        wait: Duration | None = None,
        shared: bool = False,
        limit: int | None = None,
        fence: int | None = None,
        meta: str | None = None,
        renew: bool = False,
    ) -> Lock:
        """The lock, to be released by you; renewed only with `renew=True`."""
        request = Request.of(keys, ttl=ttl, wait=wait, shared=shared, limit=limit, fence=fence, meta=meta)
        lock = await self._take(request)
        if renew:
            lock._keep(lambda: None)
        return lock

    def locked(
        self,
        keys: Keys,
        *,
        ttl: Duration,
        wait: Duration | None = None,
        shared: bool = False,
        limit: int | None = None,
        fence: int | None = None,
        meta: str | None = None,
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Coroutine[Any, Any, R]]]:
        """Decorates an async function: each call runs under the lock. Fields in the keys are the call's arguments."""

        def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
            if not inspect.iscoroutinefunction(function):
                raise LockConfig(f"{function.__qualname__} is no async function: decorate it by Locks of redislocks")
            fill = filler(keys, function)

            @functools.wraps(function)
            async def under_lock(*args: P.args, **kwargs: P.kwargs) -> R:
                async with self.lock(
                    fill(*args, **kwargs), ttl=ttl, wait=wait, shared=shared, limit=limit, fence=fence, meta=meta
                ):
                    return await function(*args, **kwargs)

            return under_lock

        return decorate


class Locks(_Taking):
    """Locks on the server of an asyncio client: `Locks(redis.asyncio.Redis())`, a RedisCluster, or one from
    Sentinel."""

    def __init__(self, client: Client) -> None:
        self._engine = Engine(Connections(topology(client, asyncio=True)))

    def work(self) -> Work:
        """One owner for several locks: then the server sees a circle of waits, and says Deadlock."""
        return Work(self._engine)

    async def aclose(self) -> None:
        """Closes idle connections. Optional: asyncio.run closes them in the end too."""
        self._engine.connections.close()

    async def __aenter__(self) -> Locks:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def _take(self, request: Request) -> Lock:
        return await self._engine.take(request, None)


class Work(_Taking):
    """Takes locks under one owner, each key once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._keys = WorkOwner()

    @property
    def owner(self) -> str:
        return self._keys.owner

    async def _take(self, request: Request) -> Lock:
        owner = self._keys.take(request)
        try:
            return await self._engine.take(request, owner)
        except LockHeld:
            self._keys.free(request)
            raise


class Engine:
    """Carries out steps in this task."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def hold(self, request: Request, owner: Owner | None) -> Hold:
        return await self.run(_steps.acquire(request, owner))

    async def take(self, request: Request, owner: Owner | None) -> Lock:
        return Lock(await self.hold(request, owner), self)

    def keep(self, hold: Hold, on_lost: Callable[[], None]) -> None:
        Keeper(hold, self._renew, on_lost)

    async def run(self, steps: Steps[T]) -> T:
        answer: Answer | None = None
        error: BaseException | None = None
        while True:
            try:
                step = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                answer, error = await self._do(step), None
            except BaseException as raised:
                answer, error = None, raised

    async def _renew(self, hold: Hold) -> None:
        await self.run(_steps.renew(hold))

    async def _do(self, step: Step) -> Answer | None:
        if isinstance(step, Ask):
            asking = self.connections.ask(step)
            return await (uninterrupted(asking) if step.shielded else asking)
        if isinstance(step, Keep):
            self.keep(step.hold, lambda: None)
        else:
            await asyncio.sleep(step.seconds)
        return None
