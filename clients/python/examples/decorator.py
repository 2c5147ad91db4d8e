import redis

from redislocks import Locks

locks = Locks(redis.Redis())


@locks.locked("invoice:{order_id}", ttl=10, wait=5)
def bill(order_id: int) -> None:
    print("Billing order", order_id)


bill(7)
