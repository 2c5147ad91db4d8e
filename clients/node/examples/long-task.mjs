import { setTimeout as sleep } from "node:timers/promises";
import { LockLost } from "@redis-lock/client";
import { locks, redis } from "./redis.mjs";

try {
  // Five seconds of work under a lock of two: it is renewed while the work runs.
  await locks.using("resource_lock", { ttl: "2s" }, async (lock) => {
    for (let step = 1; step <= 5; step++) {
      await sleep(1000, null, { signal: lock.signal }); // ends as soon as the lock is known to be lost
      lock.throwIfLost(); // reads the clock: before what must not happen without the lock
      console.log("Step", step);
    }
  });
  console.log("Task done.");
} catch (error) {
  if (!(error instanceof LockLost)) throw error;
  console.log("Task stopped:", error.message);
} finally {
  redis.destroy();
}
