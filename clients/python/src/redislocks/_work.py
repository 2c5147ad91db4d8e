"""One owner for several locks."""

from __future__ import annotations

import threading

from ._request import Key, Request, names, new_owner
from .errors import LockConfig


class WorkOwner:
    """Sees to it that a key is taken once only: a release that is still on its way must meet no newer hold."""

    def __init__(self) -> None:
        self.owner = new_owner()
        self._taken: set[Key] = set()
        self._mutex = threading.Lock()

    def take(self, request: Request) -> str:
        with self._mutex:
            again = tuple(key for key in request.keys if key in self._taken)
            if again:
                raise LockConfig(
                    f"{names(again)}: this work has taken it before. A piece of work takes a key once; for the "
                    "next piece call locks.work() again"
                )
            self._taken.update(request.keys)
        return self.owner

    def free(self, request: Request) -> None:
        """Nothing came of it, and nothing is on its way: it may be tried again."""
        with self._mutex:
            self._taken.difference_update(request.keys)
