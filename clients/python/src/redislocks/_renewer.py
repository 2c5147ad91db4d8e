"""Renews holds on threads.

Most holds are released before half of their ttl is over. For those nothing is started: one thread looks, at
the times when holds become due, which of them are still held. Those are lasting ones, and each is renewed on a
thread of its own, so that none waits for another's answer.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ._hold import Hold


class Renewer:
    def __init__(self, renew: Callable[[Hold], None]) -> None:
        self._renew = renew
        self._running = False
        self._begin()

    def add(self, hold: Hold) -> None:
        if os.getpid() != self._pid:
            self._begin()  # a forked child has neither the thread nor, perhaps, a free mutex
        due = hold.validity.until - hold.request.ttl / 2
        with self._changed:
            self._due[hold] = due
            if not self._running:
                self._wake = due
                _thread("redislocks", self._watch)
                self._running = True
            elif due < self._wake:
                self._wake = due
                self._changed.notify()
        hold.on_stop = lambda: self._forget(hold)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._due: dict[Hold, float] = {}
        self._running = False
        self._wake = 0.0

    def _forget(self, hold: Hold) -> None:
        with self._changed:
            self._due.pop(hold, None)

    def _watch(self) -> None:
        """Ends when nothing is held: the next hold starts it anew."""
        while True:
            with self._changed:
                now = time.monotonic()
                if self._wake > now:
                    self._changed.wait(self._wake - now)
                    continue
                lasting = [hold for hold, due in self._due.items() if due <= now]
                for hold in lasting:
                    del self._due[hold]
                self._running = bool(self._due)
                self._wake = min(self._due.values(), default=0.0)
                running = self._running
            for hold in lasting:
                if not hold.stopped:
                    with suppress(RuntimeError):  # no more threads to be had: the clock tells of the loss
                        _thread("redislocks-renew", self._renew, hold)
            if not running:
                return


def _thread(name: str, function: Callable[..., None], *arguments: Any) -> None:
    """It keeps no program from ending."""
    threading.Thread(target=function, args=arguments, name=name, daemon=True).start()
