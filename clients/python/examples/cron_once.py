"""The same cron line on every host; the job runs on one of them.

    */5 * * * *   python cron_once.py

The lock is named by the run, and outlives it: a host whose clock is late finds it taken. Where the job fails it is
released, and the next host that comes tries.
"""

import socket
import time

import redis

from redislocks import LockHeld, Locks

EVERY = 5 * 60  # seconds, as in the crontab
locks = Locks(redis.Redis())


def job() -> None:
    print("The job runs on", socket.gethostname())


# The clocks of the hosts may differ by less than half of the interval: it is rounded.
run = round(time.time() / EVERY)
try:
    lock = locks.acquire(f"cron:report:{run}", ttl=EVERY, meta=socket.gethostname())
except LockHeld:
    print("Another host does it.")
else:
    try:
        job()
    except BaseException:
        lock.release()
        raise
