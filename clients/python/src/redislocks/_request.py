"""What somebody asks for, and the commands that say so to the server."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from ._times import Duration, ttl_ms, wait_seconds
from .errors import LockConfig

Key = str | bytes
Keys = Key | Iterable[Key]
Word = str | bytes | int
Command = tuple[Word, ...]
Owner = str | bytes


def new_owner() -> str:
    """One owner is one piece of work: fresh and random."""
    return secrets.token_hex(20)


@dataclass(frozen=True)
class Request:
    """One lock, over one key or several, as it is asked for again and again under some owner."""

    keys: tuple[Key, ...]
    ttl_ms: int
    wait: float
    options: Command

    @classmethod
    def of(
        cls,
        keys: Keys,
        *,
        ttl: Duration | None,
        wait: Duration | None = None,
        shared: bool = False,
        limit: int | None = None,
        fence: int | None = None,
        meta: str | None = None,
    ) -> Request:
        """Checks what can be checked without the server."""
        options: list[Word] = []
        if shared and limit is not None:
            raise LockConfig(f"shared=True and limit={limit!r} contradict each other: give one of them")
        if shared:
            options.append("SHARED")
        if limit is not None:
            options += ["LIMIT", _number("limit", limit)]
        if fence is not None:
            options += ["FENCE", _number("fence", fence)]
        if meta is not None:
            if not isinstance(meta, str):
                raise LockConfig(f"meta={meta!r} must be a text, such as 'nightly report, host 7'")
            options += ["META", meta]
        return cls(_distinct(keys), ttl_ms(ttl), wait_seconds(wait), tuple(options))

    @property
    def ttl(self) -> float:
        return self.ttl_ms / 1000

    def __str__(self) -> str:
        return names(self.keys)

    def one(self, key: Key) -> Request:
        """The same for only one of its keys."""
        return Request((key,), self.ttl_ms, self.wait, self.options)

    def acquire(self, owner: Owner) -> Command:
        return (*self._head("ACQUIRE"), owner, self.ttl_ms, *self.options)

    def acquire_in_line(self, owner: Owner, wait: float) -> Command:
        """Stands in line on the server. The hold ends with the connection until it is asked for again without
        SESSION: nobody is kept out by a grant that its reader did not live to see."""
        block = 0 if math.isinf(wait) else max(1, math.ceil(wait * 1000))
        return (*self.acquire(owner), "SESSION", "BLOCK", block)

    def extend(self, owner: Owner, ttl_ms: int) -> Command:
        return (*self._head("EXTEND"), owner, ttl_ms)

    def release(self, owner: Owner) -> Command:
        return (*self._head("RELEASE"), owner)

    def _head(self, verb: str) -> Command:
        if len(self.keys) == 1:
            return (f"LOCK.{verb}", self.keys[0])
        return (f"LOCK.M{verb}", len(self.keys), *self.keys)


def names(keys: tuple[Key, ...]) -> str:
    """Keys as people read them."""
    return ", ".join(key if isinstance(key, str) else key.decode(errors="backslashreplace") for key in keys)


def _number(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise LockConfig(f"{name}={value!r} must be a whole number")
    return value


def _distinct(keys: Keys) -> tuple[Key, ...]:
    if isinstance(keys, (str, bytes)):
        return (keys,)
    listed = list(keys) if isinstance(keys, Iterable) else [keys]
    if not listed:
        raise LockConfig("no key given: a lock needs at least one")
    for key in listed:
        if not isinstance(key, (str, bytes)):
            raise LockConfig(f"{key!r} is no key: a key is a str or bytes")
    return tuple(dict.fromkeys(listed))
