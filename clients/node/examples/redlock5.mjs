// redlock 5.0.0-beta.2
import { Redis } from "ioredis";
import Redlock from "redlock";
import { acquireScript, extendScript, releaseScript } from "./redlock-scripts.cjs";

const redis = new Redis(process.env.REDIS_URL ?? "redis://127.0.0.1:6379");
const redlock = new Redlock([redis], { retryCount: 3 }, { acquireScript, extendScript, releaseScript });

const lock = await redlock.acquire(["locks:resource_lock"], 10_000);
console.log("Lock acquired!");
await lock.release();
console.log("Lock released.");
redis.disconnect();
