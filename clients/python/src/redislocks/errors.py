"""What can go wrong with a lock, in five words."""

from __future__ import annotations


class LockError(Exception):
    """The base of all errors of this package."""


class LockHeld(LockError):
    """Others hold the lock, and it did not come in the time given."""


class LockLost(LockError):
    """The lock was ours and is so no longer, or that is no longer certain. Stop working."""


class LockUnavailable(LockError):
    """The server could not be asked, or can't grant locks at the moment. It may later."""

    def __init__(self, message: str, *, sent: bool = False, late: bool = False, stale: bool = False) -> None:
        super().__init__(message)
        # The request may have been carried out.
        self._sent = sent
        # It may even be carried out later than whatever is sent next.
        self._late = late
        # It went to a connection that had been idle and may have been closed all the while.
        self._stale = stale


class LockConfig(LockError):
    """Asking again does not help: something is wrong with the request, the server or the permissions."""

    def __init__(self, message: str, *, other_type: bool = False) -> None:
        super().__init__(message)
        # Something else than a lock lies at the key.
        self._other_type = other_type


class Deadlock(LockError):
    """Waiting would close a circle of owners that wait for each other. Release what you hold, begin again."""
