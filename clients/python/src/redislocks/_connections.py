"""Connections for threads: each is used by one at a time, and kept for the next while it is sound."""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from contextlib import suppress
from typing import Any

from ._answers import Address, redirect, refusal, tls_refusal
from ._client import Topology
from ._request import Command, names
from ._steps import ANSWER, Answer, Ask
from .errors import LockUnavailable

# Idle connections to one server that are kept.
KEEP = 16
# As the cluster clients do.
HOPS = 16
# Seconds from which on a socket takes no number; who waits that long waits without a limit.
FOR_EVER = 2_000_000.0


class Connections:
    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._errors = topology.errors
        self._pid = os.getpid()
        self._idle: defaultdict[Address | None, deque[Any]] = defaultdict(deque)

    def ask(self, ask: Ask) -> Answer:
        """LockUnavailable, LockConfig or Deadlock where there is no answer."""
        address, asking = self._find(ask), False
        for _ in range(HOPS):
            try:
                return self._exchange(address, ask, asking)
            except self._errors.response as error:
                to = redirect(error)
                new = None if to is None else self._topology.moved(to, address)
                if to is None or new is None:
                    raise refusal(error, names(ask.keys)) from error
                address, asking = new, to.asking
            except LockUnavailable:
                self._topology.gone(address, ask.keys[0])
                raise
        raise LockUnavailable(f"{ask}: sent from node to node {HOPS} times: the cluster does not agree on the slot")

    def close(self) -> None:
        """Closes what is idle."""
        for idle in list(self._idle.values()):
            _close(idle)

    def _find(self, ask: Ask) -> Address | None:
        try:
            return self._topology.find(ask.keys[0])
        except (*self._errors.all, self._errors.cluster) as error:
            raise LockUnavailable(f"{ask}: {error}") from error

    def _exchange(self, address: Address | None, ask: Ask, asking: bool) -> Answer:
        connection, used = self._borrow(address)
        sending = _Sending(connection, ask, asking)
        try:
            answer = sending.run()
        except self._errors.response:
            self._give_back(address, connection)
            raise
        except BaseException as error:
            sending.abandon()
            if used:
                _close(self._idle[address])  # they are as old
            raise self._failure(error, sending, used, ask) from error
        self._give_back(address, connection)
        return answer

    def _failure(self, error: BaseException, sending: _Sending, used: bool, ask: Ask) -> BaseException:
        if not isinstance(error, self._errors.all):
            return error
        if isinstance(error, self._errors.authentication):
            return refusal(error, names(ask.keys))
        if told := tls_refusal(error, names(ask.keys)):
            return told
        late = sending.sent and isinstance(error, (self._errors.timeout, TimeoutError))
        text = f"no answer within {sending.limit:g} s" if late else f"the server can't be reached: {error}"
        return LockUnavailable(f"{ask}: {text}", sent=sending.sent, late=late, stale=used and not late)

    def _borrow(self, address: Address | None) -> tuple[Any, bool]:
        """A connection, and whether it was used before."""
        if os.getpid() != self._pid:
            # Those are the parent's: dropped here, and not shut down there.
            self._idle, self._pid = defaultdict(deque), os.getpid()
        try:
            return self._idle[address].pop(), True
        except IndexError:
            return self._topology.connection(address), False

    def _give_back(self, address: Address | None, connection: Any) -> None:
        idle = self._idle[address]
        idle.append(connection)
        if len(idle) > KEEP:
            with suppress(IndexError):  # another thread took it
                _disconnect(idle.popleft())


class _Sending:
    """One exchange on one connection."""

    def __init__(self, connection: Any, ask: Ask, asking: bool) -> None:
        self.sent = False
        self.limit = ask.limit
        self._connection = connection
        self._ask = ask
        self._asking = asking

    def run(self) -> Answer:
        self._connection.connect()
        if self._asking:
            self._connection._sock.settimeout(ANSWER)
            self._connection.send_command("ASKING")
            self._connection.read_response(disconnect_on_error=False)
        answer = self._one(self._ask.commands[0], self._ask.limit)
        for command in self._ask.commands[1:]:
            if answer.value is not None:
                answer = self._one(command, ANSWER)
        return answer

    def _one(self, command: Command, limit: float) -> Answer:
        self.limit = limit
        sent = time.monotonic()
        self.sent = True
        # On the socket itself: `can_read` of some clients takes what TLS says by itself, or a push, for an answer.
        self._connection._sock.settimeout(limit if limit < FOR_EVER else None)
        self._connection.send_command(*command, check_health=False)
        return Answer(self._connection.read_response(disconnect_on_error=False), sent)

    def abandon(self) -> None:
        """Nobody reads an answer any more: what was asked for is undone behind it."""
        try:
            if self.sent and self._ask.undo is not None:
                with suppress(Exception):  # it was broken already
                    self._connection.send_command(*self._ask.undo, check_health=False)
        finally:
            _disconnect(self._connection)


def _close(idle: deque[Any]) -> None:
    while idle:
        try:
            _disconnect(idle.pop())
        except IndexError:
            return  # another thread took the last


def _disconnect(connection: Any) -> None:
    with suppress(Exception):  # it is given up in any case
        connection.disconnect()
