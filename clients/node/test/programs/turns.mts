// Takes turns on one lock, over one library, until standard input ends. It tells each on a line, its times in nanoseconds
// of the clock that all processes of a machine share:
//
//   turn WHO BEGAN ENTERED LEFT TOKEN      LEFT is the last moment at which the lock was seen to be valid
//   trouble WHO BEGAN ENDED ERROR
//
// Arguments: the library, the server's socket, the lock's name, how many workers; in milliseconds the ttl, the wait, how
// long a section takes, how long a long one takes; one in how many is long.
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import { type Lock, LockError, Locks, type RedisClient } from "@redis-lock/client";
import { createClient } from "redis6";

const [library = "", path = "", name = "", ...numbers] = process.argv.slice(2);
const [workers = 0, ttl = 0, wait = 0, hold = 0, longHold = 0, longOneIn = 0] = numbers.map(Number);

/** How often a section looks whether the lock is valid. */
const STEP_MS = 20;

const now = (): bigint => process.hrtime.bigint();
// One write for each: lines of several workers do not mix.
const tell = (...words: readonly unknown[]): boolean => process.stdout.write(`${words.join(" ")}\n`);

async function connect(): Promise<{ redis: RedisClient; close(): void }> {
  if (library === "node-redis") {
    const redis = createClient({ socket: { path, tls: false } });
    redis.on("error", () => {});
    await redis.connect();
    return { redis, close: () => redis.destroy() };
  }
  const { Redis } = createRequire(import.meta.url)("ioredis6") as typeof import("ioredis6");
  const redis = new Redis({ path });
  redis.on("error", () => {});
  return { redis, close: () => redis.disconnect() };
}

async function section(who: string, began: bigint, lock: Lock): Promise<void> {
  const entered = now();
  let left = entered;
  // The moment comes first: what is valid afterwards was valid then.
  const look = (moment: bigint): void => {
    lock.throwIfLost();
    left = moment;
  };
  look(entered);
  const end = performance.now() + (Math.random() * longOneIn < 1 ? longHold : hold);
  try {
    do {
      await sleep(Math.max(1, Math.min(STEP_MS, end - performance.now())), null, { signal: lock.signal });
      look(now());
    } while (performance.now() < end);
  } finally {
    tell("turn", who, began, entered, left, lock.token);
  }
}

const { redis, close } = await connect();
const locks = new Locks(redis);
let isOver = false;
process.stdin.on("end", () => (isOver = true)).resume();

async function takeTurns(who: string): Promise<void> {
  while (!isOver) {
    const began = now();
    try {
      await locks.using(name, { ttl, wait }, (lock) => section(who, began, lock));
    } catch (error) {
      if (!(error instanceof LockError)) throw error;
      tell("trouble", who, began, now(), `${error.name}: ${error.message}`);
    }
  }
}

await Promise.all(Array.from({ length: workers }, (_, number) => takeTurns(`${library}-${number + 1}`)));
close();
