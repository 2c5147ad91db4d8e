const { newOwner, acquireLock, releaseLock, end } = require("./redisLock");

const runTask = async () => {
  const lockKey = "resource_lock";
  const owner = newOwner();
  const ttlMs = 10000; // 10 seconds

  const token = await acquireLock(lockKey, owner, ttlMs);
  if (token === null) {
    console.log("Resource is locked, try again later.");
    return;
  }

  try {
    console.log("Task is running under token", token);
    await new Promise((resolve) => setTimeout(resolve, 5000)); // Simulate task duration
  } finally {
    await releaseLock(lockKey, owner).then(
      (ours) => console.log(ours ? "Lock released." : "The lock had ended before the task did."),
      (error) => console.error("Not released, its ttl ends it:", error.message),
    );
  }
};

runTask()
  .catch((error) => {
    console.error("No lock:", error.message);
    process.exitCode = 1;
  })
  .finally(end);
