"""Who holds a lock, since when and for what, and how many wait. Then every change as it happens, once
`notify-keyspace-events Ed` is set."""

import redis

client = redis.Redis(decode_responses=True, protocol=3)  # with RESP 3 a map comes as a dict

lock = client.execute_command("LOCK.INFO", "resource_lock")
for hold in lock["holders"] if lock else []:
    print(f"{hold['owner']} {hold['meta']} for {hold['held-ms']} ms, {hold['ttl-ms']} ms left, token {hold['fence']}")
print(len(lock["waiters"]) if lock else 0, "waiting")

events = client.pubsub(ignore_subscribe_messages=True)
events.psubscribe("__keyevent@0__:lock.*")
for event in events.listen():
    print(event["channel"].split(":")[1], event["data"])  # lock.acquire, lock.release, lock.extend, lock.expired
