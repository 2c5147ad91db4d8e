"""Two accounts at once: all or nothing, and no circle with who takes them in the other order."""

import redis

from redislocks import Locks

locks = Locks(redis.Redis())

# In a cluster both must be in one slot: the part in braces decides.
with locks.lock(["{acct}:1", "{acct}:2"], ttl=5, wait=10) as lock:
    print("Both are locked under token", lock.token)
