import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis6";
import { LockConfig, LockHeld, Locks } from "@redis-lock/client";
import { Program } from "./support/program.mjs";
import { PACKAGE, Project } from "./support/project.mjs";
import { TestServer } from "./support/server.mjs";

interface Held {
  release(): Promise<unknown>;
  /** Its name in redlock 4. */
  unlock?(): Promise<unknown>;
  extend(ttl: number): Promise<Held>;
  readonly value: string;
}
type Acquire = (names: string[], ttl: number) => Promise<Held>;
type Settings = Record<string, unknown>;

const require = createRequire(import.meta.url);
const scripts = require(join(PACKAGE, "examples/redlock-scripts.cjs")) as Record<"acquireScript" | "extendScript" | "releaseScript", () => string>;
const Redlock4 = require("redlock4") as new (clients: Redis[], settings: Settings) => { lock: Acquire };
const Redlock5 = (require("redlock5") as { default: new (clients: Redis[], settings: Settings, scripts?: Settings) => { acquire: Acquire } }).default;

const SETTINGS = { retryCount: 0 };

const unlocked = async (acquiring: Promise<Held>): Promise<Held> => {
  const lock = await acquiring;
  if (lock.unlock !== undefined) lock.release = lock.unlock;
  return lock;
};

const VERSIONS = {
  "redlock 4": {
    before: (redis: Redis): Acquire => {
      const redlock = new Redlock4([redis], SETTINGS);
      return (names, ttl) => unlocked(redlock.lock(names, ttl));
    },
    now: (redis: Redis): Acquire => {
      const own = { lockScript: scripts.acquireScript, extendScript: scripts.extendScript, unlockScript: scripts.releaseScript };
      const redlock = new Redlock4([redis], { ...SETTINGS, ...own });
      return (names, ttl) => unlocked(redlock.lock(names, ttl));
    },
  },
  "redlock 5": {
    before: (redis: Redis): Acquire => {
      const redlock = new Redlock5([redis], SETTINGS);
      return (names, ttl) => redlock.acquire(names, ttl);
    },
    now: (redis: Redis): Acquire => {
      const redlock = new Redlock5([redis], SETTINGS, scripts);
      return (names, ttl) => redlock.acquire(names, ttl);
    },
  },
};

let server: TestServer;
let redis: Redis;
beforeEach(() => server.ask("FLUSHALL"));
before(async () => {
  server = await TestServer.start();
  redis = new Redis(server.port, "127.0.0.1");
});
after(async () => {
  redis.disconnect();
  await server.stop();
});

for (const [name, version] of Object.entries(VERSIONS)) {
  describe(`drop-in for ${name}`, () => {
    test("takes, extends and releases locks of redis-lock, several names too", async () => {
      const acquire = version.now(redis);
      const lock = await acquire(["a:1", "a:2"], 5000);
      assert.equal(await server.ask("TYPE", "a:1"), "redislock");
      assert.equal(await server.ask("LOCK.OWNER", "a:2"), lock.value);
      await assert.rejects(acquire(["a:2", "a:3"], 5000));
      assert.equal(await server.ask("EXISTS", "a:3"), 0);
      const longer = await lock.extend(20_000);
      assert.ok((await server.ask<number>("LOCK.TTL", "a:2")) > 15_000);
      await longer.release();
      assert.equal(await server.ask("EXISTS", "a:1", "a:2"), 0);
    });

    test("a lock that is over can't be extended or released", async () => {
      const lock = await version.now(redis)(["b"], 5000);
      await server.ask("DEL", "b");
      await assert.rejects(lock.extend(5000));
      await assert.rejects(lock.release());
    });

    test("in a fleet that is half moved both sides exclude each other", async () => {
      const [before, now] = [version.before(redis), version.now(redis)];
      const old = await before(["c:1", "c:2"], 5000);
      await assert.rejects(now(["c:1"], 5000));
      await assert.rejects(now(["c:0", "c:2"], 5000));
      assert.equal(await server.ask("EXISTS", "c:0"), 0);
      await old.extend(6000);
      await old.release();
      const moved = await now(["c:1", "c:2"], 5000);
      await assert.rejects(before(["c:2"], 5000));
      await assert.rejects(before(["c:0", "c:1"], 5000));
      await moved.release();
      await (await before(["c:1"], 5000)).release();
    });

    test("what each side sees of the other's ttl: over is over", async () => {
      const [before, now] = [version.before(redis), version.now(redis)];
      await now(["d"], 200);
      await sleep(300);
      await before(["d"], 200);
      await sleep(300);
      await (await now(["d"], 200)).release();
    });

    test("beside this package: both exclude each other; a lock of the old scripts is another type", async () => {
      const locks = new Locks(redis);
      const lock = await version.now(redis)(["e"], 5000);
      await assert.rejects(locks.acquire("e", { ttl: 5000 }), LockHeld);
      const waiting = locks.acquire("e", { ttl: 5000, wait: "10s" });
      await server.untilWaiting("e", 1);
      await lock.release();
      const ours = await waiting;
      await assert.rejects(version.now(redis)(["e"], 5000));
      await assert.rejects(version.before(redis)(["e"], 5000));
      await ours.release();
      const old = await version.before(redis)(["e"], 5000);
      await assert.rejects(locks.acquire("e", { ttl: 5000 }), LockConfig);
      await old.release();
    });
  });
}

test("the examples run with the real packages", async () => {
  const cases = { "redlock4.cjs": "redlock4", "redlock5.mjs": "redlock5" };
  for (const [example, redlock] of Object.entries(cases)) {
    const project = new Project({ redlock, ioredis: "ioredis6" });
    try {
      const program = new Program(project.path(example), [], { REDIS_URL: server.url });
      assert.equal(await program.ends(), 0, program.output);
      assert.equal(program.output, "Lock acquired!\nLock released.\n");
    } finally {
      project.remove();
    }
  }
});
