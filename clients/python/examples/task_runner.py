"""Take, work, release: whoever comes second goes away."""

import time

import redis

from redislocks import LockHeld, Locks

locks = Locks(redis.Redis())

try:
    with locks.lock("resource_lock", ttl=10) as lock:
        print("Task is running under token", lock.token)
        time.sleep(5)  # the task
    print("Lock released.")
except LockHeld:
    print("Resource is locked, try again later.")
