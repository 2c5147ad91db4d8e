"""Locks for programs with threads, over a blocking client."""

from __future__ import annotations

import functools
import inspect
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from . import _steps
from ._client import Client, topology
from ._connections import Connections
from ._granted import Granted, log
from ._hold import Hold
from ._renewer import Renewer
from ._request import Keys, Owner, Request
from ._steps import Answer, Ask, Keep, Step, Steps
from ._template import filler
from ._times import Duration, ttl_ms
from ._work import WorkOwner
from .errors import LockConfig, LockHeld, LockLost, LockUnavailable

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Lock(Granted):
    """A lock that was granted."""

    def __init__(self, hold: Hold, engine: Engine) -> None:
        super().__init__(hold)
        self._engine = engine

    def extend(self, ttl: Duration | None = None) -> None:
        """Valid for at least `ttl` (as at the acquire, if not given) from now. LockLost where it is lost."""
        self.raise_if_lost()
        ms = self._hold.request.ttl_ms if ttl is None else ttl_ms(ttl)
        self._engine.run(_steps.extend(self._hold, ms))
        self.raise_if_lost()

    def release(self) -> bool:
        """True: it was ours until now. False: it was lost before. LockUnavailable where the server can't be
        asked: its ttl ends the lock."""
        if self._hold.validity.forked:
            return False
        if self._released is None:
            was_ours = not self.lost
            self._hold.stop()
            released = self._engine.run(_steps.release(self._hold))
            return self._note_release(was_ours, released)
        return self._released

    def _leave(self, failed: bool) -> None:
        """The end of a block: released, and LockLost if it was not ours until then. An error of the block's own
        goes before."""
        if self._released is not None:
            return  # by the block itself, which was told what came of it
        loss = self._hold.loss()
        try:
            if not self.release() and loss is None:
                loss = LockLost(f"{self._hold.request}: lost: it was gone when it was to be released")
        except LockUnavailable as error:
            log.warning("Not released, its ttl ends it: %s", error)
        except LockConfig:
            if not failed:
                raise
        if loss is not None and not failed:
            raise loss


class Block:
    """`with locks.lock(...) as lock:` acquires, renews while the block runs, and releases."""

    def __init__(self, request: Request, acquire: Callable[[Request], Lock]) -> None:
        self._request = request
        self._acquire = acquire
        self._lock: Lock | None = None

    def __enter__(self) -> Lock:
        if self._lock is not None:
            raise LockConfig(f"{self._request}: this block is entered already: call lock() for each")
        self._lock = self._acquire(self._request)
        return self._lock

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._lock is not None
        lock, self._lock = self._lock, None
        lock._leave(failed=error is not None)


class _Taking(ABC):
    """What Locks and Work have in common."""

    @abstractmethod
    def _take(self, request: Request, renew: bool) -> Lock: ...

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
        """For a `with` block, in which it is renewed. LockHeld where it does not come within `wait`."""
        request = Request.of(keys, ttl=ttl, wait=wait, shared=shared, limit=limit, fence=fence, meta=meta)
        return Block(request, lambda request: self._take(request, renew=True))

    def acquire(
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
        return self._take(request, renew)

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
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorates a function: each call runs under the lock. Fields in the keys are the call's arguments."""

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
                raise LockConfig(f"{function.__qualname__} is async: decorate it by Locks of redislocks.asyncio")
            if inspect.isgeneratorfunction(function):
                raise LockConfig(f"{function.__qualname__} is a generator: it runs after the call, without the lock")
            fill = filler(keys, function)

            @functools.wraps(function)
            def under_lock(*args: P.args, **kwargs: P.kwargs) -> R:
                with self.lock(
                    fill(*args, **kwargs), ttl=ttl, wait=wait, shared=shared, limit=limit, fence=fence, meta=meta
                ):
                    return function(*args, **kwargs)

            return under_lock

        return decorate


class Locks(_Taking):
    """Locks on the server of a blocking client: `Locks(redis.Redis())`, a RedisCluster, or one from Sentinel."""

    def __init__(self, client: Client) -> None:
        self._engine = Engine(Connections(topology(client, asyncio=False)))

    def work(self) -> Work:
        """One owner for several locks: then the server sees a circle of waits, and says Deadlock."""
        return Work(self._engine)

    def close(self) -> None:
        """Closes idle connections. Optional: they are closed with the program too."""
        self._engine.connections.close()

    def __enter__(self) -> Locks:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _take(self, request: Request, renew: bool) -> Lock:
        return self._engine.take(request, None, renew)


class Work(_Taking):
    """Takes locks under one owner, each key once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._keys = WorkOwner()

    @property
    def owner(self) -> str:
        return self._keys.owner

    def _take(self, request: Request, renew: bool) -> Lock:
        owner = self._keys.take(request)
        try:
            return self._engine.take(request, owner, renew)
        except LockHeld:
            self._keys.free(request)
            raise


class Engine:
    """Carries out steps on this thread."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self._renewer = Renewer(self._renew)

    def hold(self, request: Request, owner: Owner | None) -> Hold:
        return self.run(_steps.acquire(request, owner))

    def take(self, request: Request, owner: Owner | None, renew: bool) -> Lock:
        hold = self.hold(request, owner)
        if renew:
            self._renewer.add(hold)
        return Lock(hold, self)

    def run(self, steps: Steps[T], pause: Callable[[float], object] = time.sleep) -> T:
        answer: Answer | None = None
        error: BaseException | None = None
        while True:
            try:
                step = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                answer, error = self._do(step, pause), None
            except BaseException as raised:
                answer, error = None, raised

    def _renew(self, hold: Hold) -> None:
        stopped = threading.Event()
        hold.on_stop = stopped.set
        self.run(_steps.renew(hold), pause=stopped.wait)

    def _do(self, step: Step, pause: Callable[[float], object]) -> Answer | None:
        if isinstance(step, Ask):
            return self.connections.ask(step)
        if isinstance(step, Keep):
            self._renewer.add(step.hold)
        else:
            pause(step.seconds)
        return None
