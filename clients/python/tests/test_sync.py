"""What locks do, for programs with threads."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from clients import Redis
from servers import Server, in_thread, until

from redislocks import Deadlock, LockConfig, LockHeld, LockLost, Locks, LockUnavailable


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def locks(request: pytest.FixtureRequest, server: Server) -> Iterator[Locks]:
    redis = Redis(**server.settings(), protocol=request.param)
    with Locks(redis) as locks:
        yield locks
    redis.close()


def test_one_at_a_time_and_tokens_rise(locks: Locks, server: Server) -> None:
    with locks.lock("a", ttl=30) as first:
        assert len(server.holders("a")) == 1
        with pytest.raises(LockHeld, match="a: others hold it"):
            locks.acquire("a", ttl=30)
    assert server.nothing_left("a")
    second = locks.acquire("a", ttl=30)
    assert second.token > first.token
    assert second.release() is True
    assert second.lost


def test_owners_are_fresh_and_of_20_random_bytes(locks: Locks) -> None:
    owners = set()
    for _ in range(20):
        with locks.lock("a", ttl=30) as lock:
            owners.add(lock.owner)
    assert len(owners) == 20
    assert all(len(bytes.fromhex(str(owner))) >= 20 for owner in owners)


def test_who_waits_gets_it_in_the_order_of_arrival(locks: Locks, server: Server) -> None:
    held = locks.acquire("a", ttl=30)
    order: list[int] = []

    def wait(i: int) -> None:
        with locks.lock("a", ttl=30, wait=10):
            order.append(i)

    results = []
    for i in range(5):
        results.append(in_thread(lambda i=i: wait(i)))  # type: ignore[misc]
        until(lambda i=i: server.waiting("a") == i + 1)  # type: ignore[misc]
    held.release()
    assert [result() for result in results] == [None] * 5
    assert order == [0, 1, 2, 3, 4]
    assert server.nothing_left("a")


def test_a_wait_in_vain_ends_in_time_and_leaves_no_ghost(locks: Locks, server: Server) -> None:
    with locks.lock("a", ttl=30):
        began = time.monotonic()
        with pytest.raises(LockHeld, match=r"did not come within 0\.3 s"):
            locks.acquire("a", ttl=30, wait=0.3)
        assert 0.3 <= time.monotonic() - began < 1
        assert server.waiting("a") == 0


def test_a_wait_for_ever(locks: Locks, server: Server) -> None:
    held = locks.acquire("a", ttl=30)
    result = in_thread(lambda: locks.acquire("a", ttl=30, wait=math.inf))
    until(lambda: server.waiting("a"))
    held.release()
    assert result().release() is True


def test_shared_limit_and_exclusive(locks: Locks, server: Server) -> None:
    with locks.lock("a", ttl=30, shared=True), locks.lock("a", ttl=30, shared=True):
        with pytest.raises(LockHeld):
            locks.acquire("a", ttl=30)
    with locks.lock("b", ttl=30, limit=2), locks.lock("b", ttl=30, limit=2):
        with pytest.raises(LockHeld):
            locks.acquire("b", ttl=30, limit=2)
    assert server.nothing_left("a", "b")


def test_meta_and_fence_reach_the_server(locks: Locks, server: Server) -> None:
    token = locks.acquire("other", ttl=30).token + 1000
    with locks.lock("a", ttl=30, meta="host 7", fence=token) as lock:
        assert lock.token >= token
        assert server.holders("a")[0]["meta"] == "host 7"


def test_several_keys_are_all_or_nothing_under_one_token(locks: Locks, server: Server) -> None:
    with locks.lock(["{x}1", "{x}2"], ttl=30) as lock:
        assert [h["fence"] for k in ("{x}1", "{x}2") for h in server.holders(k)] == [lock.token] * 2
        with pytest.raises(LockHeld):
            locks.acquire(["{x}0", "{x}2"], ttl=30)
        assert server.nothing_left("{x}0")
        lock.extend(60)
    assert server.nothing_left("{x}1", "{x}2")


def test_several_keys_are_waited_for_and_kept_meanwhile(locks: Locks, server: Server) -> None:
    held = locks.acquire("{x}2", ttl=30)
    result = in_thread(lambda: locks.acquire(["{x}2", "{x}1"], ttl=0.5, wait=10))
    until(lambda: server.waiting("{x}2") == 1)
    first = server.holders("{x}1")[0]["owner"]
    time.sleep(1)  # twice the ttl
    assert server.holders("{x}1")[0]["owner"] == first
    held.release()
    lock = result()
    assert [h["fence"] for k in ("{x}1", "{x}2") for h in server.holders(k)] == [lock.token] * 2
    assert lock.release() is True
    assert server.nothing_left("{x}1", "{x}2")


def test_several_keys_in_vain_leave_nothing(locks: Locks, server: Server) -> None:
    with locks.lock("{x}2", ttl=30):
        with pytest.raises(LockHeld):
            locks.acquire(["{x}2", "{x}1"], ttl=30, wait=0.3)
        assert server.nothing_left("{x}1")
        assert server.waiting("{x}2") == 0


def test_two_that_want_the_same_keys_in_different_order_both_get_them(locks: Locks, server: Server) -> None:
    def take(keys: list[str]) -> None:
        for _ in range(20):
            with locks.lock(keys, ttl=30, wait=20):
                pass

    results = [in_thread(lambda: take(["{x}1", "{x}2"])), in_thread(lambda: take(["{x}2", "{x}1"]))]
    assert [result() for result in results] == [None, None]
    assert server.nothing_left("{x}1", "{x}2")


def test_keys_may_be_bytes(locks: Locks, server: Server) -> None:
    with locks.lock(b"\xff\x00", ttl=30) as lock:
        assert lock.keys == (b"\xff\x00",)
        with pytest.raises(LockHeld, match=r"\\xff"):
            locks.acquire(b"\xff\x00", ttl=30)


def test_a_block_renews_and_a_bare_acquire_does_only_if_told(locks: Locks, server: Server) -> None:
    with locks.lock("block", ttl=0.4) as block:
        renewed = locks.acquire("renewed", ttl=0.4, renew=True)
        bare = locks.acquire("bare", ttl=0.4)
        until(lambda: bare.lost)
        time.sleep(0.5)
        block.raise_if_lost()
        renewed.raise_if_lost()
        assert server.holders("block") and server.holders("renewed") and not server.holders("bare")
        with pytest.raises(LockLost, match="not renewed in time"):
            bare.raise_if_lost()
        assert bare.release() is False
    assert renewed.release() is True
    until(lambda: not [t for t in threading.enumerate() if t.name == "redislocks-renew"])


def test_extend_prolongs_what_is_valid(locks: Locks) -> None:
    lock = locks.acquire("a", ttl=1)
    lock.extend("20s")
    assert 19 < lock.valid_for <= 20
    lock.extend()  # never shorter
    assert 19 < lock.valid_for <= 20
    lock.release()
    with pytest.raises(LockLost, match="released"):
        lock.extend()


def test_a_deleted_lock_is_lost(locks: Locks, server: Server) -> None:
    with pytest.raises(LockLost, match="server no longer knows it"), locks.lock("a", ttl=0.5) as lock:
        server.redis.delete("a")
        until(lambda: lock.lost)


def test_a_block_that_ends_without_its_lock_says_so(locks: Locks, server: Server) -> None:
    with pytest.raises(LockLost, match="gone when it was to be released"), locks.lock("a", ttl=30):
        server.redis.delete("a")


def test_an_error_of_the_block_goes_before_the_loss(locks: Locks, server: Server) -> None:
    with pytest.raises(ZeroDivisionError), locks.lock("a", ttl=30):
        server.redis.delete("a")
        1 / 0  # noqa: B018


def test_released_within_the_block_is_no_loss(locks: Locks, server: Server) -> None:
    with locks.lock("a", ttl=30) as lock:
        assert lock.release() is True
        assert lock.release() is True  # said again, not asked again
    assert server.nothing_left("a")


def test_a_thread_that_sleeps_past_its_ttl_is_told_by_the_clock(locks: Locks) -> None:
    lock = locks.acquire("a", ttl=0.2)
    lock.raise_if_lost()
    time.sleep(0.25)
    assert lock.lost and lock.valid_for == 0
    with pytest.raises(LockLost):
        lock.extend()


def test_validity_counts_from_before_the_sending(locks: Locks) -> None:
    began = time.monotonic()
    lock = locks.acquire("a", ttl=30)
    assert began + 30 <= time.monotonic() + lock.valid_for < time.monotonic() + 30
    lock.release()


def test_validity_counts_anew_after_a_wait(locks: Locks, server: Server) -> None:
    held = locks.acquire("a", ttl=30)
    result = in_thread(lambda: locks.acquire("a", ttl=2, wait=10))
    until(lambda: server.waiting("a"))
    time.sleep(1)
    held.release()
    lock = result()
    assert lock.valid_for > 1.5
    assert server.holders("a")[0]["session"] == 0  # it outlives the connection on which it waited
    lock.release()


def test_a_wait_outlasts_the_clients_own_time_limit(server: Server) -> None:
    locks = Locks(Redis(**server.settings(), socket_timeout=0.2))
    held = locks.acquire("a", ttl=30)
    result = in_thread(lambda: locks.acquire("a", ttl=30, wait=10))
    until(lambda: server.waiting("a"))
    waiter = server.info("a")["waiters"][0]["client"]
    time.sleep(1)
    assert server.info("a")["waiters"][0]["client"] == waiter  # the same place in line all the time
    held.release()
    assert result().release() is True


def test_neither_waits_nor_renewals_need_the_clients_pool(server: Server) -> None:
    redis = Redis(**server.settings(), max_connections=1)
    locks = Locks(redis)
    popping = in_thread(lambda: redis.blpop("nothing", timeout=1))
    until(lambda: server.redis.info("clients")["blocked_clients"] == 1)
    with locks.lock("a", ttl=0.4) as lock:
        assert popping() is None
        lock.raise_if_lost()


def test_two_waits_at_once_never_wait_for_each_other(locks: Locks, server: Server) -> None:
    a, b = locks.acquire("a", ttl=30), locks.acquire("b", ttl=30)
    results = {key: in_thread(lambda key=key: locks.acquire(key, ttl=30, wait=10)) for key in "ab"}  # type: ignore[misc]
    until(lambda: server.waiting("a") and server.waiting("b"))
    b.release()
    assert results["b"]().release() is True
    assert server.waiting("a") == 1
    a.release()
    assert results["a"]().release() is True


def test_fifty_waits_at_once(locks: Locks, server: Server) -> None:
    running: list[int] = []

    def work() -> None:
        with locks.lock("a", ttl=30, wait=30):
            running.append(1)
            assert len(running) == 1
            running.pop()

    held = locks.acquire("a", ttl=30)
    results = [in_thread(work) for _ in range(50)]
    until(lambda: server.waiting("a") == 50)
    held.release()
    assert [result() for result in results] == [None] * 50
    assert server.nothing_left("a")


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("keys", ["a", ["a", "b"]])
def test_an_interrupted_wait_leaves_no_ghost(locks: Locks, server: Server, keys: Any) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with locks.lock("a", ttl=30):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(Interrupted):
                locks.acquire(keys, ttl=30, wait=10)
            assert server.waiting("a") == 0
        assert server.nothing_left("a", "b")
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_work_shares_one_owner_and_a_circle_is_told_at_once(locks: Locks, server: Server) -> None:
    one, other = locks.work(), locks.work()
    with one.lock("a", ttl=30) as a, other.lock("b", ttl=30):
        assert a.owner == one.owner == server.holders("a")[0]["owner"]
        result = in_thread(lambda: one.acquire("b", ttl=30, wait=10))
        until(lambda: server.waiting("b"))
        began = time.monotonic()
        with pytest.raises(Deadlock, match="circle"):
            other.acquire("a", ttl=30, wait=10)
        assert time.monotonic() - began < 1
    assert result().release() is True
    assert server.nothing_left("a", "b")


def test_a_work_takes_a_key_once(locks: Locks) -> None:
    work = locks.work()
    with work.lock("a", ttl=30):
        with pytest.raises(LockConfig, match="a: this work has taken it before"):
            work.acquire("a", ttl=30)
    with locks.lock("b", ttl=30):
        with pytest.raises(LockHeld):
            work.acquire("b", ttl=30)
    work.acquire("b", ttl=30).release()  # nothing had come of it


def test_locked_fills_the_key_from_the_arguments(locks: Locks, server: Server) -> None:
    @locks.locked("invoice:{order_id}:{kind}", ttl=10, meta="bill")
    def bill(order_id: int, kind: str = "x") -> list[dict[str, Any]]:
        """Bills."""
        return server.holders(f"invoice:{order_id}:{kind}")

    assert bill(7)[0]["meta"] == "bill"
    assert bill(order_id=7, kind="y")
    assert bill.__doc__ == "Bills."
    assert server.nothing_left("invoice:7:x", "invoice:7:y")

    @locks.locked("{{slot}}:{order_id}", ttl=10)
    def braces(order_id: int) -> bool:
        return bool(server.holders("{slot}:7"))

    assert braces(7)


def test_locked_refuses_what_is_no_parameter(locks: Locks) -> None:
    with pytest.raises(LockConfig, match="no parameter 'order'"):

        @locks.locked("invoice:{order}", ttl=10)
        def bill(order_id: int) -> None: ...


def test_locked_refuses_an_async_function(locks: Locks) -> None:
    with pytest.raises(LockConfig, match=r"redislocks\.asyncio"):

        @locks.locked("invoice", ttl=10)
        async def bill() -> None: ...


def test_locked_refuses_a_generator(locks: Locks) -> None:
    with pytest.raises(LockConfig, match="is a generator"):

        @locks.locked("invoice", ttl=10)
        def bills() -> Iterator[int]:
            yield 1


def test_an_answer_lost_with_its_connection(server: Server, proxy: Any) -> None:
    """The same owner asks again, and has the lock; a release that answers 0 for that reason is no loss."""
    redis = Redis(port=proxy.port)
    locks = Locks(redis)
    locks.acquire("warm", ttl=30).release()
    proxy.lose_answer_to("LOCK.ACQUIRE")
    with locks.lock("a", ttl=30) as lock:
        assert server.holders("a")[0]["fence"] == lock.token
        proxy.lose_answer_to("LOCK.EXTEND")
        lock.extend(40)
        proxy.lose_answer_to("LOCK.RELEASE")
    assert lock.release() is True
    assert server.nothing_left("a")


def test_a_lost_answer_and_no_second_chance_leaves_nothing(server: Server, proxy: Any) -> None:
    locks = Locks(Redis(port=proxy.port))
    proxy.lose_answer_to("LOCK.ACQUIRE")  # on a connection that was never used: it is not asked again
    with pytest.raises(LockUnavailable, match="can't be reached"):
        locks.acquire("a", ttl=30)
    assert server.nothing_left("a")


def test_a_request_that_comes_late_harms_nobody(server: Server, proxy: Any) -> None:
    """Given up after two seconds and asked anew; when the first arrives after all, it takes and undoes its own."""
    locks = Locks(Redis(port=proxy.port))
    proxy.hold_back("LOCK.ACQUIRE")
    with locks.lock("a", ttl=30, wait=10) as lock:
        proxy.deliver()
        assert [h["fence"] for h in server.holders("a")] == [lock.token]
    assert server.nothing_left("a")
    work = locks.work()  # it has one owner only, so it does not ask anew
    proxy.hold_back("LOCK.ACQUIRE")
    with pytest.raises(LockUnavailable, match="no answer within 2 s"):
        work.acquire("a", ttl=30, wait=10)
    proxy.deliver()
    assert server.nothing_left("a")


def test_only_one_client_and_of_the_right_kind() -> None:
    from clients import AsyncRedis

    with pytest.raises(LockConfig, match="not supported yet"):
        Locks([Redis(), Redis()])  # type: ignore[arg-type]
    with pytest.raises(LockConfig, match=r"use Locks of redislocks\.asyncio"):
        Locks(AsyncRedis())
    with pytest.raises(LockConfig, match="no client"):
        Locks(object())  # type: ignore[arg-type]
