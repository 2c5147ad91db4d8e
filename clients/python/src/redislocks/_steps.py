"""What is said to the server, in which order, and what follows from its answers.

The same for threads and for asyncio: each function is a generator that yields what is to be done and is sent
what came of it (or thrown what went wrong). It does no input or output of its own, and it is where the rules
are kept:

- The ttl counts from before the request was sent.
- An owner is one attempt to get the lock. If no answer came, the request may still arrive: a release goes after
  it, and the next attempt has another owner.
- Who gives up, for whatever reason, takes its request back.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from ._hold import Hold
from ._request import Command, Key, Owner, Request, names, new_owner
from .errors import Deadlock, LockConfig, LockError, LockHeld, LockUnavailable

# All in seconds. For an answer that needs no wait.
ANSWER = 2.0
# How long after the end of a wait the server's answer may still be on its way.
GRACE = 1.0
# How long somebody who gives up waits for the answer to his release.
TAKE_BACK = 1.0
# Between two attempts while the server can't be asked.
RETRY = 0.2


@dataclass(frozen=True)
class Ask:
    """Commands for one connection, each sent once the one before was answered with something."""

    keys: tuple[Key, ...]
    commands: tuple[Command, ...]
    # For the answer to the first command.
    limit: float = ANSWER
    # Sent behind them, on the same connection, when their answer is not waited for any longer.
    undo: Command | None = None
    # Carried out to the end, whoever cancels.
    shielded: bool = False

    def __str__(self) -> str:
        return f"{names(self.keys)}: {self.commands[0][0]!s}"


@dataclass(frozen=True)
class Answer:
    value: int | None
    # When the command that this answers was sent: not later than that.
    sent: float


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Keep:
    """Renew this hold until it is stopped."""

    hold: Hold


T = TypeVar("T")
Step = Ask | Pause | Keep
Steps = Generator[Step, Answer | None, T]


def _ask(step: Ask) -> Steps[Answer]:
    """Asks once more where a connection had been closed while it was idle. (Not for a place in line: who has stood
    there for a while has less time left.)"""
    try:
        answer = yield step
    except LockUnavailable as error:
        if not error._stale or step.limit > ANSWER:
            raise
        answer = yield step
    assert answer is not None
    return answer


def acquire(request: Request, work: Owner | None) -> Steps[Hold]:
    """The lock; else LockHeld, LockUnavailable, LockConfig or Deadlock. `work`: the owner to take it under."""
    taking = _Taking(request, work)
    try:
        return (yield from taking.run())
    except GeneratorExit:
        raise
    except BaseException:
        taking.stop_partial()
        if taking.in_doubt:
            yield from take_back(request, taking.owner)
        raise


def take_back(request: Request, owner: Owner) -> Steps[None]:
    """Out of line, or released, where the server can be told; else the ttl ends it."""
    with suppress(LockError):
        yield from _ask(Ask(request.keys, (request.release(owner),), limit=TAKE_BACK, shielded=True))


class _Taking:
    """One call of acquire."""

    def __init__(self, request: Request, work: Owner | None) -> None:
        self.request = request
        self.owner: Owner = work or new_owner()
        # Something may be held or stand in line under this owner.
        self.in_doubt = False
        self._one_owner_only = work is not None
        self._deadline = time.monotonic() + request.wait
        self._partial: list[Hold] = []

    def run(self) -> Steps[Hold]:
        while True:
            try:
                hold = yield from self._attempt()
            except LockUnavailable as error:
                if error._late:
                    yield from self._begin_anew()
                    if self._one_owner_only:
                        raise
                if self._left() <= 0:
                    raise
                yield Pause(min(RETRY, self._left()))
                continue
            if hold is not None:
                return hold
            if self._left() <= 0:
                raise LockHeld(self._held_by_others())

    def _attempt(self) -> Steps[Hold | None]:
        """The hold, or None: others have it, or it was lost again on its way here."""
        hold = yield from self._ask(self.request, self.request.acquire(self.owner))
        if hold is not None or self._left() <= 0:
            return hold
        if len(self.request.keys) == 1:
            return (yield from self._in_line(self.request))
        return (yield from self._all_in_line())

    def _in_line(self, request: Request) -> Steps[Hold | None]:
        left = self._left()
        if left <= 0:
            return None
        # Asked for again after the wait: that makes it outlive the connection, and its ttl counts from there.
        commands = (request.acquire_in_line(self.owner, left), request.acquire(self.owner))
        return (yield from self._ask(request, *commands, limit=left + GRACE))

    def _all_in_line(self) -> Steps[Hold | None]:
        """One key after the other, in an order that is the same for all: nobody waits in a circle. In the end
        they are asked for together, which gives them one token."""
        for key in sorted(self.request.keys, key=_as_bytes):
            one = self.request.one(key)
            hold = (yield from self._ask(one, one.acquire(self.owner))) or (yield from self._in_line(one))
            if hold is None:
                break
            self._partial.append(hold)
            yield Keep(hold)
        else:
            hold = yield from self._ask(self.request, self.request.acquire(self.owner))
        self.stop_partial()
        if hold is None:
            yield from self._begin_anew()
        return hold

    def _ask(self, request: Request, *commands: Command, limit: float = ANSWER) -> Steps[Hold | None]:
        before = self.in_doubt or bool(self._partial)
        self.in_doubt = True
        try:
            answer = yield from _ask(Ask(request.keys, commands, limit, undo=request.release(self.owner)))
        except LockUnavailable as error:
            self.in_doubt = before or error._sent
            raise
        except (LockConfig, Deadlock):
            self.in_doubt = before
            raise
        self.in_doubt = answer.value is not None or bool(self._partial)
        if answer.value is None:
            return None
        return Hold(request, self.owner, answer.value, answer.sent + request.ttl)

    def _begin_anew(self) -> Steps[None]:
        self.stop_partial()
        if self.in_doubt:
            yield from take_back(self.request, self.owner)
        self.in_doubt = False
        if not self._one_owner_only:
            self.owner = new_owner()

    def stop_partial(self) -> None:
        for hold in self._partial:
            hold.stop()
        self._partial.clear()

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _held_by_others(self) -> str:
        if not self.request.wait:
            return f"{self.request}: others hold it. Give a wait to stand in line for it, say wait=60"
        return f"{self.request}: others hold it, and it did not come within {self.request.wait:g} s"


def extend(hold: Hold, ttl_ms: int, limit: float = ANSWER) -> Steps[str | None]:
    """None, and it is valid for longer; or why it is lost."""
    command = hold.request.extend(hold.owner, ttl_ms)
    answer = yield from _ask(Ask(hold.request.keys, (command,), limit))
    if answer.value == 0:
        hold.validity.lose("the server no longer knows it: it ran out, was deleted, or the server forgot it")
    else:
        hold.validity.prolong(answer.sent + ttl_ms / 1000)
    return hold.validity.reason()


def renew(hold: Hold) -> Steps[None]:
    """Extends at half of the ttl, again and again, until it is stopped or lost. A failure leaves time for
    others: each is given a quarter of the ttl at most."""
    ttl = hold.request.ttl
    pause = hold.validity.until - ttl / 2 - time.monotonic()
    while True:
        yield Pause(max(0.0, pause))
        if hold.stopped or hold.validity.reason() is not None:
            return
        began = time.monotonic()
        try:
            if (yield from extend(hold, hold.request.ttl_ms, limit=min(ANSWER, ttl / 4))) is not None:
                return
            pause = began + ttl / 2 - time.monotonic()
        except LockUnavailable:
            pause = min(RETRY, ttl / 20)  # the clock tells when it is too late
        except LockError as error:
            hold.validity.lose(str(error))
            return


def release(hold: Hold) -> Steps[bool | None]:
    """True: released. False: it was gone before. None: it is gone, but perhaps by this very release, which was
    sent twice since the first answer did not come.

    A server that can't be reached may be on its way back: it is asked again for a moment, for the others would have
    to wait for the ttl."""
    limit = ANSWER if hold.validity.reason() is None else TAKE_BACK
    ask = Ask(hold.request.keys, (hold.request.release(hold.owner),), limit, shielded=True)
    deadline = time.monotonic() + limit
    stale = resent = False
    while True:
        try:
            answer = yield ask
        except LockUnavailable as error:
            if error._stale and not stale:
                stale = True
            elif error._late or hold.validity.reason() is not None or time.monotonic() >= deadline:
                raise
            else:
                yield Pause(RETRY)
            resent = resent or error._sent
            continue
        assert answer is not None
        if answer.value == len(hold.request.keys):
            return True
        return None if resent else False


def _as_bytes(key: Key) -> bytes:
    return key.encode() if isinstance(key, str) else key
