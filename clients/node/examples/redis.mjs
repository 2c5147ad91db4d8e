// The connection that the programs in this folder share. Without REDIS_URL: the local server.
import { createClient } from "redis";
import { Locks } from "@redis-lock/client";

export const redis = createClient({ url: process.env.REDIS_URL, RESP: 3 });
redis.on("error", (error) => console.error("Redis:", error.message));
await redis.connect();

export const locks = new Locks(redis);
