// redlock 4.2.0
const { Redis } = require("ioredis");
const Redlock = require("redlock");
const { acquireScript, extendScript, releaseScript } = require("./redlock-scripts.cjs");

const redis = new Redis(process.env.REDIS_URL ?? "redis://127.0.0.1:6379");
const redlock = new Redlock([redis], {
  retryCount: 3,
  lockScript: acquireScript,
  extendScript,
  unlockScript: releaseScript,
});

const runTask = async () => {
  const lock = await redlock.lock("locks:resource_lock", 10_000);
  console.log("Lock acquired!");
  await lock.unlock();
  console.log("Lock released.");
};

runTask().finally(() => redis.disconnect());
