// Start it by cron on every host, at the same minute: one of them runs the job, the others see that it is taken.
import { hostname } from "node:os";
import { LockHeld } from "@redis-lock/client";
import { locks, redis } from "./redis.mjs";

const PERIOD_MS = 60 * 60 * 1000; // as in the crontab: every hour

// The hour that is nearest, so that clocks may differ by minutes. Each run has a lock of its own name.
const run = new Date(Math.round(Date.now() / PERIOD_MS) * PERIOD_MS).toISOString();

const job = async (lock) => {
  console.log(`${hostname()} runs the job of ${run} under token ${lock.token}`);
};

try {
  const lock = await locks.acquire(`cron:report:${run}`, { ttl: "15m", renew: true, meta: hostname() });
  try {
    await job(lock);
    await lock.extend("15m"); // not released: a host whose clock is late must find it taken
  } catch (error) {
    await lock.release().catch(() => {}); // another host may try
    throw error;
  }
} catch (error) {
  if (!(error instanceof LockHeld)) throw error;
  console.log(`${hostname()}: the job of ${run} is taken`);
} finally {
  redis.destroy();
}
