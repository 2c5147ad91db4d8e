"""Cancellation: kept away from what must be finished, and told apart from that of others."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def at_once(coroutine: Coroutine[Any, Any, object]) -> None:
    """Runs as far as it gets without waiting; what it raises is of no interest."""
    try:
        coroutine.send(None)
    except (StopIteration, Exception):
        return
    coroutine.close()


async def uninterrupted(coroutine: Coroutine[Any, Any, T]) -> T:
    """Carried out to the end though the caller is cancelled meanwhile: that follows then. For what ends by itself
    in a moment."""
    task = asyncio.ensure_future(coroutine)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # looked at: it is told by nobody
        raise cancelled
    return task.result()


class Canceller:
    """Cancels the task that created it, once, and knows its own cancellation from others', as asyncio.timeout
    does.

    From Python 3.11 on a task counts how often it was cancelled: if ours was all, the count is what it was
    before. On 3.10 a message tells: a foreign cancellation that came first has another one. (One that comes after
    ours, before the task has run again, can't be seen there.)
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[Any] = task
        self._before: int = task.cancelling() if hasattr(task, "cancelling") else 0
        # An object of its own: compared by identity.
        self._message = "".join(("redislocks: ", "the lock of this block is lost"))
        self._cancelled = False

    def cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._task.cancel(self._message)

    def was_ours_alone(self, error: BaseException | None) -> bool:
        """Whether `error` is the cancellation from here, and no other. To be called once, at the end of the block."""
        if not self._cancelled:
            return False
        if hasattr(self._task, "uncancel"):
            alone = self._task.uncancel() <= self._before
            return alone and isinstance(error, asyncio.CancelledError)
        return isinstance(error, asyncio.CancelledError) and bool(error.args) and error.args[0] is self._message
