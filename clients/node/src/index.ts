export { Deadlock, LockConfig, LockError, LockHeld, LockLost, LockUnavailable } from "./errors.js";
export type { Duration } from "./duration.js";
export type { AcquireOptions, Names } from "./request.js";
export type { Lock } from "./lock.js";
export { Locks, type LocksOptions, type RedisClient } from "./locks.js";
export type { Work } from "./work.js";
