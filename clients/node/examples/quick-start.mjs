import { createClient } from "redis";
import { Locks } from "@redis-lock/client";

const redis = await createClient({ url: process.env.REDIS_URL }).on("error", console.error).connect();
await new Locks(redis).using("report", { ttl: "30s", wait: "1m" }, async (lock) => {
  console.log("Ours, under token", lock.token);
});
redis.destroy();
