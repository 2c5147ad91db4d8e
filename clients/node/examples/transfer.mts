import { Locks } from "@redis-lock/client";
import { Redis } from "ioredis";

const redis = new Redis(process.env["REDIS_URL"] ?? "redis://127.0.0.1:6379");
const locks = new Locks(redis);

async function transfer(from: string, to: string, amount: number): Promise<void> {
  // Both or none, under one token; released at the end of the block, however that is left.
  await using lock = await locks.acquire([`acct:${from}`, `acct:${to}`], { ttl: "5s", wait: "30s", renew: true });
  lock.throwIfLost();
  await redis.multi().decrby(`balance:${from}`, amount).incrby(`balance:${to}`, amount).exec();
  console.log(`${amount} from ${from} to ${to} under token ${lock.token}`);
}

await Promise.all([transfer("1", "2", 30), transfer("2", "1", 10), transfer("1", "3", 5)]);
redis.disconnect();
