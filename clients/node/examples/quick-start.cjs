const { Redis } = require("ioredis");
const { Locks } = require("@redis-lock/client");

const redis = new Redis(process.env.REDIS_URL ?? "redis://127.0.0.1:6379");
new Locks(redis)
  .using("report", { ttl: "30s", wait: "1m" }, async (lock) => {
    console.log("Ours, under token", lock.token);
  })
  .finally(() => redis.disconnect());
