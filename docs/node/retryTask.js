const { setTimeout: sleep } = require("node:timers/promises");
const { isFinal, newOwner, acquireLock, releaseLock, end } = require("./redisLock");

// The same owner in every attempt: if a reply got lost, the next attempt finds the lock already ours.
const acquireWithRetries = async (lockKey, owner, ttlMs, retries) => {
  for (let attempt = 1; attempt <= retries; attempt++) {
    if (attempt > 1) await sleep(200 + Math.random() * 100); // delay and jitter
    try {
      const token = await acquireLock(lockKey, owner, ttlMs);
      if (token !== null) return token;
      console.log("Attempt", attempt, "- others hold the lock.");
    } catch (error) {
      if (isFinal(error)) throw error;
      console.error("Attempt", attempt, "-", error.message); // no connection, COOLDOWN, OOM …
    }
  }
  return null;
};

const runTaskWithRetries = async (lockKey, ttlMs, task, fallback, retries = 3) => {
  const owner = newOwner();
  try {
    const token = await acquireWithRetries(lockKey, owner, ttlMs, retries);
    return token === null ? await fallback() : await task(token);
  } finally {
    // Also where no attempt said yes: the yes of one may have got lost.
    await releaseLock(lockKey, owner).catch(() => {}); // if this fails, the ttl ends it
  }
};

runTaskWithRetries(
  "resource_lock",
  10000,
  async (token) => console.log("Task is running under token", token),
  async () => console.log("Not acquired: queueing the task for later."),
)
  .catch((error) => {
    console.error("No lock:", error.message);
    process.exitCode = 1;
  })
  .finally(end);
