import redis

from redislocks import Locks

locks = Locks(redis.Redis())
with locks.lock("report", ttl=30, wait=60, meta="host 7") as lock:
    print("Working under token", lock.token)
