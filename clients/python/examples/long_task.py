"""Longer than the ttl: renewed while the block runs. Each step asks the clock whether the lock is still ours."""

import time

import redis

from redislocks import LockLost, Locks

locks = Locks(redis.Redis())

try:
    with locks.lock("resource_lock", ttl=2) as lock:
        for step in range(1, 6):
            time.sleep(1)
            lock.raise_if_lost()  # before what must not happen without the lock
            print("Step", step)
    print("Task done.")
except LockLost as error:
    print("Task stopped:", error)
