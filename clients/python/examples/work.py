"""Locks that are taken one after the other under one owner: then the server sees a circle of waits, and says so."""

import redis

from redislocks import Deadlock, Locks

locks = Locks(redis.Redis())


def transfer() -> None:
    work = locks.work()
    with work.lock("acct:1", ttl=10, wait=10):
        with work.lock("acct:2", ttl=10, wait=10) as second:
            print("Transferring under token", second.token)


while True:
    try:
        transfer()
        break
    except Deadlock as error:
        print("Beginning again:", error)
