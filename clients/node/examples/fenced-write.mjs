import { locks, redis } from "./redis.mjs";

// Stops before it writes if this token no longer holds the lock. A token is passed as a string.
const script = `
  redis.call('LOCK.CHECK', KEYS[1], ARGV[1])
  return redis.call('SET', KEYS[2], ARGV[2])`;

// In a cluster both keys must be in one slot: the part in braces decides.
const fencedWrite = (lock, key, value) =>
  redis.eval(script, { keys: [lock.names[0], key], arguments: [String(lock.token), value] });

const lock = await locks.acquire("{report}", { ttl: "10s" });
console.log(await fencedWrite(lock, "{report}:body", "first"));
await lock.release();
// As a holder would that slept past its ttl:
await fencedWrite(lock, "{report}:body", "too late").catch((error) => console.log(error.message));
redis.destroy();
