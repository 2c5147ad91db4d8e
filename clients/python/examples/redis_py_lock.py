import redis

from redislocks.redis_py import Lock

client = redis.Redis()

with client.lock("x", timeout=10, blocking_timeout=5, lock_class=Lock) as lock:
    print("Locked; what it writes is fenced by", lock.token)
