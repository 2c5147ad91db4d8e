import { type Asker, newOwner } from "./asker.js";
import { serverOf } from "./clients/detect.js";
import { type Duration, milliseconds } from "./duration.js";
import type { Lock } from "./lock.js";
import type { AcquireOptions, Names } from "./request.js";
import type { Server } from "./server.js";
import { Work } from "./work.js";

/** A client of node-redis (also its pool, Cluster, Sentinel), of ioredis or of iovalkey (also their Cluster). */
export type RedisClient = { sendCommand(...args: never[]): unknown };

export interface LocksOptions {
  /** How long to try for an answer of the server before a request counts as failed. 5 s if not given. */
  timeout?: Duration | undefined;
}

/** The locks of one server, over a client that is connected already. */
export class Locks {
  readonly #server: Server;
  readonly #timeout: number;

  constructor(redis: RedisClient, options: LocksOptions = {}) {
    this.#server = serverOf(redis);
    this.#timeout = milliseconds("timeout", options.timeout ?? 5000, 1);
  }

  /** Takes a lock, which is then to be released. `LockHeld` if others have it. */
  acquire(names: Names, options: AcquireOptions): Promise<Lock> {
    return this.work().acquire(names, options);
  }

  /** Takes a lock, renews it while `task` runs, and releases it. */
  using<T>(names: Names, options: AcquireOptions, task: (lock: Lock) => T | PromiseLike<T>): Promise<T> {
    return this.work().using(names, options, task);
  }

  /** An owner for several locks: what waits for one of them while it holds another gets `Deadlock` instead of a circle. */
  work(): Work {
    const asker: Asker = { server: this.#server, owner: newOwner(), timeout: this.#timeout };
    return new Work(asker);
  }
}
