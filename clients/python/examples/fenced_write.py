"""Where the data is in the same Redis, a script asks the lock in the same step: who was overtaken writes nothing."""

import redis

from redislocks import Locks

client = redis.Redis()
locks = Locks(client)

# In a cluster both keys must be in one slot: the part in braces decides.
write = client.register_script("""
    redis.call('LOCK.CHECK', KEYS[1], ARGV[1])
    return redis.call('SET', KEYS[2], ARGV[2])
""")

lock = locks.acquire("{report}", ttl=10)
write(keys=["{report}", "{report}:body"], args=[lock.token, "first"])
print("Written:", client.get("{report}:body"))
lock.release()

# As a holder would that slept past its ttl:
try:
    write(keys=["{report}", "{report}:body"], args=[lock.token, "too late"])
except redis.ResponseError as error:
    print("Refused:", error)
