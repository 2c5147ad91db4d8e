import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LockHeld, Locks } from "@redis-lock/client";
import { eventually } from "./support/eventually.mjs";
import { SENTINEL_KINDS, type SentinelKind, type SentinelWish, TestSentinel } from "./support/sentinel.mjs";

async function withLocks(
  kind: SentinelKind,
  run: (locks: Locks, sentinel: TestSentinel) => Promise<void>,
  wish: SentinelWish = {},
): Promise<void> {
  const sentinel = await TestSentinel.start();
  const { redis, close } = await kind.connect(sentinel.port, wish);
  try {
    await run(new Locks(redis), sentinel);
  } finally {
    await close();
    await sentinel.stop();
  }
}

for (const kind of SENTINEL_KINDS) {
  describe(`sentinel with ${kind.name}`, () => {
    test("locks and waits at the master; after a failover the holder goes on, and who waits goes along", () =>
      withLocks(kind, async (locks, sentinel) => {
        const { master, replica } = sentinel;
        const holder = await locks.acquire("a", { ttl: "20s", renew: true });
        await assert.rejects(locks.acquire("a", { ttl: "20s" }), LockHeld);
        const waiting = locks.acquire("a", { ttl: "20s", wait: "40s" });
        await master.untilWaiting("a", 1);
        await replica.untilCaughtUp(master);
        await master.kill();
        await sentinel.untilPromoted();
        await replica.untilWaiting("a", 1);
        holder.throwIfLost();
        await holder.extend("20s");
        await holder.release();
        const next = await waiting;
        assert.ok(next.token > holder.token);
        await next.release();
        await replica.untilFree("a");
      }));

    // It takes the ten seconds until a wait looks after its place.
    if (!/(node-redis|ioredis) 6/.test(kind.name)) return;
    test("a master that freezes closes no connection: who waits is at the new one all the same", () =>
      withLocks(
        kind,
        async (locks, sentinel) => {
          const { master, replica } = sentinel;
          await master.ask("LOCK.ACQUIRE", "b", "somebody", "600000");
          const waiting = locks.acquire("b", { ttl: "20s", wait: "1h" });
          await master.untilWaiting("b", 1);
          await replica.untilCaughtUp(master);
          master.freeze();
          await sentinel.untilPromoted();
          await eventually("it waits at the new master", async () => (await replica.standing("b")).waiters === 1, 30_000);
          await replica.ask("LOCK.RELEASE", "b", "somebody");
          await (await waiting).release();
        },
        { listens: true },
      ));
  });
}
