"""What a granted lock is, before anything is asked about it."""

from __future__ import annotations

import logging
import time

from ._hold import Hold
from ._request import Key, Owner

log = logging.getLogger("redislocks")


class Granted:
    """The part of a lock that needs no server: it reads the clock."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._released: bool | None = None

    @property
    def keys(self) -> tuple[Key, ...]:
        return self._hold.request.keys

    @property
    def token(self) -> int:
        """The fencing token: higher than that of every holder before. Show it to what the lock protects,
        before you read there."""
        return self._hold.token

    @property
    def owner(self) -> Owner:
        """What the server knows this holder by."""
        return self._hold.owner

    @property
    def lost(self) -> bool:
        """Whether it is ours no longer, by the clock too. What was released counts as lost."""
        return self._hold.validity.reason() is not None

    @property
    def valid_for(self) -> float:
        """The seconds for which it is certainly ours, if nobody renews it; 0 where it is lost."""
        return 0.0 if self.lost else max(0.0, self._hold.validity.until - time.monotonic())

    def raise_if_lost(self) -> None:
        """LockLost where it is lost. Reads the clock: call it before each step that must not happen without
        the lock."""
        loss = self._hold.loss()
        if loss is not None:
            raise loss

    def _note_release(self, was_ours: bool, released: bool | None) -> bool:
        """`released` None: gone, but perhaps by this very release, sent twice. Then the clock says what it was."""
        self._released = was_ours if released is None else released
        self._hold.validity.lose("it was released")
        return self._released

    def __repr__(self) -> str:
        return f"<Lock {self._hold.request} token={self.token} {'lost' if self.lost else 'held'}>"
