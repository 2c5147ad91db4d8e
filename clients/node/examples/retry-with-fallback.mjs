import { LockHeld, LockUnavailable } from "@redis-lock/client";
import { locks, redis } from "./redis.mjs";

const runTask = (task, fallback) =>
  locks.using("resource_lock", { ttl: "10s", wait: "3s" }, task).catch((error) => {
    // Others are at it, or no server answers. What is wrong for good (LockConfig), or failed in the task, is thrown.
    if (error instanceof LockHeld || error instanceof LockUnavailable) return fallback(error);
    throw error;
  });

await runTask(
  async (lock) => console.log("Task is running under token", lock.token),
  async (error) => console.log(`Queueing the task for later. ${error.message}`),
);
redis.destroy();
