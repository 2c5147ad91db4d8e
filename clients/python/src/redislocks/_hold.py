"""A lock that was granted: what was asked for, under which owner and token, and for how long it is valid."""

from __future__ import annotations

from collections.abc import Callable

from ._request import Owner, Request
from ._validity import Validity
from .errors import LockLost


class Hold:
    def __init__(self, request: Request, owner: Owner, token: int, until: float) -> None:
        self.request = request
        self.owner = owner
        self.token = token
        self.validity = Validity(until)
        # Not to be renewed (any more): released, or about to be.
        self.stopped = False
        # Whoever renews it sets this, to be told.
        self.on_stop: Callable[[], None] | None = None

    def stop(self) -> None:
        self.stopped = True
        if self.on_stop is not None:
            self.on_stop()

    def loss(self) -> LockLost | None:
        """The error to raise, or None while it is certainly ours."""
        reason = self.validity.reason()
        return None if reason is None else LockLost(f"{self.request}: lost: {reason}")
