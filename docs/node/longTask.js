const { setTimeout: sleep } = require("node:timers/promises");
const { newOwner, acquireLock, releaseLock, end } = require("./redisLock");
const { keepLock } = require("./keepLock");

const runLongTask = async (lockKey, ttlMs, work) => {
  const owner = newOwner();
  const sentAt = performance.now();
  const token = await acquireLock(lockKey, owner, ttlMs);
  if (token === null) return console.log("Resource is locked, try again later.");

  const kept = keepLock(lockKey, owner, ttlMs, sentAt);
  try {
    await work(token, kept);
    console.log("Task done.");
  } catch (error) {
    console.error("Task stopped:", (kept.signal.reason ?? error).message);
  } finally {
    kept.stop();
    await releaseLock(lockKey, owner).catch(() => {}); // if this fails, the ttl ends it
  }
};

// Five seconds of work under a lock of two; the signal ends it early if the lock is lost.
runLongTask("resource_lock", 2000, async (token, kept) => {
  for (let step = 1; step <= 5; step++) {
    await sleep(1000, null, { signal: kept.signal });
    kept.throwIfLost(); // before what must not happen without the lock
  }
})
  .catch((error) => {
    console.error("No lock:", error.message);
    process.exitCode = 1;
  })
  .finally(end);
