import { setTimeout as sleep } from "node:timers/promises";
import { LockHeld } from "@redis-lock/client";
import { locks, redis } from "./redis.mjs";

try {
  await locks.using("resource_lock", { ttl: "10s" }, async (lock) => {
    console.log("Task is running under token", lock.token);
    await sleep(Number(process.env.TASK_MS ?? 5000)); // what your task does
  });
  console.log("Lock released.");
} catch (error) {
  if (!(error instanceof LockHeld)) throw error;
  console.log("Resource is locked, try again later.");
} finally {
  redis.destroy();
}
