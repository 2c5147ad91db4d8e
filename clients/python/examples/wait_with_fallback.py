"""Stand in line for a while, else do something else. There are no attempts to count: the server keeps the place,
and a server that is away for a moment is asked again."""

import redis

from redislocks import LockHeld, Locks, LockUnavailable

locks = Locks(redis.Redis())

try:
    with locks.lock("resource_lock", ttl=10, wait="3s") as lock:
        print("Task is running under token", lock.token)
except (LockHeld, LockUnavailable) as error:
    print("Queueing the task for later:", error)
