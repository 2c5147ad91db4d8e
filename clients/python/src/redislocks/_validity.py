"""For how long a lock is certainly ours, told by the clock."""

from __future__ import annotations

import os
import threading
import time


class Validity:
    """Begins when the request was sent, so it ends before the server lets another in. Once lost, it stays so."""

    def __init__(self, until: float) -> None:
        self._until = until
        self._lost: str | None = None
        self._pid = os.getpid()
        # A renewal on another thread must not bring back what somebody was told is lost.
        self._mutex = threading.Lock()

    @property
    def forked(self) -> bool:
        """This is a child's copy: the lock is its parent's."""
        return os.getpid() != self._pid

    @property
    def until(self) -> float:
        """On the clock of `time.monotonic`."""
        return self._until

    def reason(self) -> str | None:
        """Why it is lost, or None while it is not."""
        if self.forked:
            return f"it belongs to process {self._pid}, and this is a forked copy"
        if self._lost is None and time.monotonic() >= self._until:
            self.lose("it was not renewed in time")
        return self._lost

    def lose(self, reason: str) -> None:
        """The first reason stays."""
        with self._mutex:
            if self._lost is None:
                self._lost = reason

    def prolong(self, until: float) -> bool:
        """False: too late, it was lost before the answer came."""
        with self._mutex:
            if self._lost is None and time.monotonic() >= self._until:
                self._lost = "it was not renewed in time"
            if self._lost is not None:
                return False
            self._until = max(self._until, until)
            return True
