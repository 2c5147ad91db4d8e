import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { LockConfig, LockHeld, Locks } from "@redis-lock/client";
import { CLUSTER_KINDS, type ClusterKind, TestCluster } from "./support/cluster.mjs";
import { eventually } from "./support/eventually.mjs";
import type { TestServer } from "./support/server.mjs";

let cluster: TestCluster;
before(async () => void (cluster = await TestCluster.start()));
after(() => cluster.stop());

async function withLocks(kind: ClusterKind, run: (locks: Locks) => Promise<void>): Promise<void> {
  const { redis, close } = await kind.connect(cluster.nodes);
  try {
    await run(new Locks(redis));
  } finally {
    await close();
  }
}

async function requests(nodes: readonly TestServer[]): Promise<number> {
  const stats = await Promise.all(nodes.map((node) => node.ask<string>("INFO", "commandstats")));
  const calls = stats.flatMap((text) => [...text.matchAll(/cmdstat_lock\.\w+:calls=(\d+).*?rejected_calls=(\d+)/g)]);
  return calls.reduce((sum, [, done, rejected]) => sum + Number(done) + Number(rejected), 0);
}

for (const kind of CLUSTER_KINDS) {
  describe(`cluster with ${kind.name}`, () => {
    test("locks and waits on every node", () =>
      withLocks(kind, async (locks) => {
        for (const name of ["a", "b", "c", "d", "e", "f"]) {
          const owner = await cluster.ownerOf(name);
          const lock = await locks.acquire(name, { ttl: "10s" });
          await assert.rejects(locks.acquire(name, { ttl: "10s" }), LockHeld);
          const waiting = locks.acquire(name, { ttl: "10s", wait: "20s" });
          await owner.untilWaiting(name, 1);
          await lock.extend("20s");
          await lock.release();
          await (await waiting).release();
          await owner.untilFree(name);
        }
      }));

    test("a node is asked once, and the right one", () =>
      withLocks(kind, async (locks) => {
        await locks.using("once", { ttl: "10s" }, () => {});
        await Promise.all(cluster.nodes.map((node) => node.ask("CONFIG", "RESETSTAT")));
        for (let i = 0; i < 20; i++) await locks.using(`once:${i}`, { ttl: "10s" }, () => {});
        assert.equal(await requests(cluster.nodes), 40);
      }));

    test("several names of one slot; names of several slots are LockConfig, with what to do", () =>
      withLocks(kind, async (locks) => {
        const both = await locks.acquire(["{g}:1", "{g}:2"], { ttl: "10s" });
        const waiting = locks.acquire(["{g}:2", "{g}:1"], { ttl: "10s", wait: "20s" });
        await (await cluster.ownerOf("{g}:1")).untilWaiting("{g}:1", 1);
        await both.release();
        await (await waiting).release();
        await assert.rejects(locks.acquire(["g:1", "g:2", "g:3"], { ttl: "10s", wait: "1m" }), (error) => {
          assert.ok(error instanceof LockConfig, String(error));
          assert.match(error.message, /CROSSSLOT.*common part in braces/);
          return true;
        });
      }));

    test("a slot that moves: the holder keeps its lock, who waits goes along", () =>
      withLocks(kind, async (locks) => {
        const name = `moving:${kind.name}`;
        const holder = await locks.acquire(name, { ttl: "30s", renew: true });
        const waiting = locks.acquire(name, { ttl: "30s", wait: "30s" });
        await (await cluster.ownerOf(name)).untilWaiting(name, 1);
        const { to } = await cluster.move(name);
        await eventually("it waits at the new node", async () => (await to.standing(name)).waiters === 1);
        await holder.extend("40s");
        assert.equal(await holder.release(), true);
        await (await waiting).release();
        await to.untilFree(name);
      }));
  });
}
