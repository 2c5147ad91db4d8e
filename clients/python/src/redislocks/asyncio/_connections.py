"""Connections for asyncio: each is used by one task at a time, and kept for the next while it is sound."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator
from typing import Any
from weakref import WeakKeyDictionary

from .._answers import Address, redirect, refusal, tls_refusal
from .._client import CONNECT, Cluster, Topology
from .._connections import FOR_EVER, HOPS, KEEP
from .._request import Command, names
from .._steps import ANSWER, Answer, Ask
from ..errors import LockUnavailable
from ._cancelling import at_once


class Connections:
    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._errors = topology.errors
        self._pid = os.getpid()
        self._of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Idle] = WeakKeyDictionary()

    async def ask(self, ask: Ask) -> Answer:
        """LockUnavailable, LockConfig or Deadlock where there is no answer."""
        address, asking = await self._find(ask), False
        for _ in range(HOPS):
            try:
                return await self._exchange(address, ask, asking)
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
        """Closes what is idle on this loop."""
        self._idle().close()

    async def _find(self, ask: Ask) -> Address | None:
        try:
            if isinstance(self._topology, Cluster):
                await self._topology.client.initialize()
            return self._topology.find(ask.keys[0])
        except (*self._errors.all, self._errors.cluster) as error:
            raise LockUnavailable(f"{ask}: {error}") from error

    async def _exchange(self, address: Address | None, ask: Ask, asking: bool) -> Answer:
        idle = self._idle()
        connection = idle.take(address)
        used = connection is not None
        if connection is None:
            connection = self._topology.connection(address)
        sending = _Sending(connection, ask, asking)
        try:
            answer = await sending.run()
        except self._errors.response:
            idle.put(address, connection)
            raise
        except BaseException as error:
            sending.abandon()
            if used and not isinstance(error, asyncio.CancelledError):
                idle.close_at(address)  # they are as old
            raise self._failure(error, sending, used, ask) from error
        idle.put(address, connection)
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

    def _idle(self) -> _Idle:
        loop = asyncio.get_running_loop()
        if os.getpid() != self._pid:
            # Those are the parent's: dropped here, and not shut down there.
            self._of_loop, self._pid = WeakKeyDictionary(), os.getpid()
        idle = self._of_loop.get(loop)
        if idle is None:
            idle = self._of_loop[loop] = _Idle()
        return idle


class _Idle:
    """Idle connections of one event loop, closed with it by asyncio.run, whether somebody thought of it or not."""

    def __init__(self) -> None:
        self._idle: defaultdict[Address | None, deque[Any]] = defaultdict(deque)
        self._end = self._close_at_the_end()
        at_once(self._end.__anext__())  # so that the loop knows it, and ends it

    def take(self, address: Address | None) -> Any:
        idle = self._idle[address]
        return idle.pop() if idle else None

    def put(self, address: Address | None, connection: Any) -> None:
        idle = self._idle[address]
        idle.append(connection)
        if len(idle) > KEEP:
            _disconnect(idle.popleft())

    def close_at(self, address: Address | None) -> None:
        idle = self._idle[address]
        while idle:
            _disconnect(idle.pop())

    def close(self) -> None:
        for address in list(self._idle):
            self.close_at(address)

    async def _close_at_the_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self.close()


class _Sending:
    """One exchange on one connection."""

    def __init__(self, connection: Any, ask: Ask, asking: bool) -> None:
        self.sent = False
        self.limit = ask.limit
        self._connection = connection
        self._ask = ask
        self._asking = asking

    async def run(self) -> Answer:
        if not self._connection.is_connected:
            await connect(self._connection)
        if self._asking:
            self._connection.socket_timeout = ANSWER
            await self._connection.send_command("ASKING")
            await self._connection.read_response(disconnect_on_error=False)
        answer = await self._one(self._ask.commands[0], self._ask.limit)
        for command in self._ask.commands[1:]:
            if answer.value is not None:
                answer = await self._one(command, ANSWER)
        return answer

    async def _one(self, command: Command, limit: float) -> Answer:
        self.limit = limit
        sent = time.monotonic()
        self.sent = True
        # Without a limit for sending: the client would use asyncio.wait_for, which loses cancellations before 3.12.
        self._connection.socket_timeout = None
        await self._connection.send_command(*command, check_health=False)
        self._connection.socket_timeout = limit if limit < FOR_EVER else None
        return Answer(await self._connection.read_response(disconnect_on_error=False), sent)

    def abandon(self) -> None:
        """Nobody reads an answer any more: what was asked for is undone behind it. Waits for nothing, for the
        task may be cancelled."""
        if self.sent and self._ask.undo is not None and self._connection.is_connected:
            self._connection.socket_timeout = None
            at_once(self._connection.send_command(*self._ask.undo, check_health=False))
        _disconnect(self._connection)


async def connect(connection: Any) -> None:
    """Connects and says hello, in a task of its own: the clients use asyncio.wait_for meanwhile, which before Python
    3.12 loses a cancellation that comes together with what it waits for. Here it would be the user's."""
    given_up = False

    async def connect_or_close() -> None:
        try:
            await connection.connect()
        except BaseException:
            _disconnect(connection)
            raise
        if given_up:
            _disconnect(connection)

    task = asyncio.ensure_future(connect_or_close())
    try:
        await asyncio.wait({task}, timeout=CONNECT)
    finally:
        if not task.done():
            given_up = True
            task.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody asks for it
            task.cancel()
    if given_up:
        raise TimeoutError(f"no connection within {CONNECT:g} s")
    task.result()


def _disconnect(connection: Any) -> None:
    at_once(connection.disconnect(nowait=True))
