"""Renews a hold and tells of its loss, by timers of the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from .._hold import Hold


class Keeper:
    """Begins at once; ends with the hold, or with its loss, of which it tells once."""

    def __init__(
        self, hold: Hold, renew: Callable[[Hold], Coroutine[Any, Any, None]], on_lost: Callable[[], None]
    ) -> None:
        self._hold = hold
        self._renew = renew
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        half = hold.request.ttl / 2
        # A block that ends before half of the ttl costs no task.
        self._begin = self._loop.call_later(hold.validity.until - half - time.monotonic(), self._start)
        self._end = self._look_again()
        hold.on_stop = self._stop

    def _start(self) -> None:
        self._task = self._loop.create_task(self._renew(self._hold))
        self._task.add_done_callback(lambda _: self._look())

    def _look(self) -> None:
        """Lost, or still valid: then it looks again when it should have been renewed by."""
        self._end.cancel()
        if self._hold.stopped:
            return
        if self._hold.validity.reason() is None:
            self._end = self._look_again()
        else:
            self._on_lost()
            self._stop()

    def _look_again(self) -> asyncio.TimerHandle:
        return self._loop.call_later(max(0.0, self._hold.validity.until - time.monotonic()), self._look)

    def _stop(self) -> None:
        self._begin.cancel()
        self._end.cancel()
        if self._task is not None:
            self._task.cancel()
