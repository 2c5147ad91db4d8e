// Start it on several hosts: one leads. When it ends, crashes or is cut off, the next in line is elected.
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { LockHeld, LockLost, LockUnavailable } from "@redis-lock/client";
import { locks, redis } from "./redis.mjs";

const me = `${hostname()}, process ${process.pid}`;
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => stop.abort(new Error(signal)));

// Leads until the lock is lost or the process is asked to stop.
const lead = async (lock) => {
  console.log("elected", lock.token);
  while (!stop.signal.aborted) {
    lock.throwIfLost();
    await sleep(1000, null, { signal: AbortSignal.any([lock.signal, stop.signal]) }).catch(() => {}); // what a leader does
  }
};

while (!stop.signal.aborted) {
  try {
    await locks.using("leader", { ttl: "5s", wait: "24h", signal: stop.signal, meta: me }, lead);
  } catch (error) {
    if (stop.signal.aborted) break;
    if (error instanceof LockLost) console.log("lost:", error.message);
    else if (error instanceof LockUnavailable) console.log("no server:", error.message);
    else if (!(error instanceof LockHeld)) throw error;
  }
}
redis.destroy();
