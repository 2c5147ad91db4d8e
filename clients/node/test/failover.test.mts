import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { type Lock, LockLost, Locks } from "@redis-lock/client";
import { CLUSTER_KINDS, type ClusterKind, TestCluster } from "./support/cluster.mjs";
import { eventually } from "./support/eventually.mjs";
import type { TestServer } from "./support/server.mjs";

// One master of a cluster has a replica. They change places in each test, and the next begins with that.
const NAME = "shared";
let cluster: TestCluster;
let master: TestServer;
let replica: TestServer;

async function withLocks(kind: ClusterKind, run: (locks: Locks) => Promise<void>): Promise<void> {
  const { redis, close } = await kind.connect(cluster.nodes);
  try {
    await run(new Locks(redis, { timeout: 2000 }));
  } finally {
    await close();
  }
}

const isMaster = async (node: TestServer): Promise<boolean> => /role:master/.test(await node.ask("INFO", "replication"));

/** The two have changed places: the former master follows now, if it was killed after a restart. */
async function changed(): Promise<void> {
  await eventually("the replica is promoted", () => isMaster(replica), 20_000);
  [master, replica] = [replica, master];
}

/** A holder that renews, and two in line. The replica has what a replica can. */
async function crowd(locks: Locks, ttl: number): Promise<{ holder: Lock; waits: Promise<Lock>[] }> {
  const holder = await locks.acquire(NAME, { ttl, renew: true });
  const waits = [1, 2].map(() => locks.acquire(NAME, { ttl: "30s", wait: "60s" }));
  await master.untilWaiting(NAME, 2);
  await replica.untilCaughtUp(master);
  return { holder, waits };
}

/** Each of those in line is served, under a token of its own, and nothing is left on any node. */
async function serves(waits: Promise<Lock>[], before: number): Promise<void> {
  const tokens: number[] = [];
  await Promise.all(
    waits.map(async (wait) => {
      const lock = await wait;
      tokens.push(lock.token);
      assert.equal((await master.standing(NAME)).holders, 1);
      assert.equal(await lock.release(), true);
    }),
  );
  assert.deepEqual([before, ...tokens], [before, ...tokens].sort((a, b) => a - b));
  await master.untilFree(NAME);
  for (const node of [...cluster.nodes, replica]) {
    await eventually("nobody waits", async () => /blocked_clients:0\r/.test(await node.ask("INFO", "clients")));
  }
}

for (const kind of CLUSTER_KINDS) {
  describe(`failover in a cluster with ${kind.name}`, () => {
    before(async () => {
      cluster = await TestCluster.start();
      master = await cluster.ownerOf(NAME);
      replica = await cluster.replicate(master);
    });
    after(async () => {
      await cluster.stop();
      await Promise.all([master.stop(), replica.stop()]);
    });

    test("a replica that takes over: the holder goes on, and who waits goes along", () =>
      withLocks(kind, async (locks) => {
        const { holder, waits } = await crowd(locks, 4000);
        await replica.ask("CLUSTER", "FAILOVER", "TAKEOVER");
        await changed();
        await master.untilWaiting(NAME, 2);
        const renewed = await master.ask<number>("LOCK.TTL", NAME);
        await eventually("it is renewed there", async () => (await master.ask<number>("LOCK.TTL", NAME)) > renewed);
        await eventually("so it is here", () => holder.remaining > 2000);
        holder.throwIfLost();
        assert.equal(await holder.release(), true);
        await serves(waits, holder.token);
        await cluster.untilFollows(replica, master);
      }));

    test("a master that is killed: its replica is elected, the holder goes on, and who waits goes along", () =>
      withLocks(kind, async (locks) => {
        const { holder, waits } = await crowd(locks, 12_000);
        await master.kill();
        await changed();
        await master.untilWaiting(NAME, 2);
        await holder.extend();
        assert.ok(holder.remaining > 10_000, `${holder.remaining} ms`);
        assert.equal(await holder.release(), true);
        await replica.run();
        await serves(waits, holder.token);
        await cluster.untilFollows(replica, master);
      }));

    test("a lock that the replica never saw is lost, and told so; who waits has it next", () =>
      withLocks(kind, async (locks) => {
        replica.freeze();
        await master.ask("CLIENT", "KILL", "TYPE", "replica");
        const holder = await locks.acquire(NAME, { ttl: 2500, renew: true });
        const wait = locks.acquire(NAME, { ttl: "30s", wait: "60s" });
        await master.untilWaiting(NAME, 1);
        await master.kill();
        replica.thaw();
        const lost = once(holder.signal, "abort");
        await eventually("it takes over", async () => (await replica.ask("CLUSTER", "FAILOVER", "TAKEOVER")) === "OK");
        await changed();
        await lost;
        assert.throws(() => holder.throwIfLost(), LockLost);
        assert.equal(await holder.release(), false);
        await replica.run();
        await serves([wait], holder.token);
        await cluster.untilFollows(replica, master);
      }));

    // It takes the ten seconds until a wait looks after its place.
    if (!/(node-redis|ioredis) 6/.test(kind.name)) return;
    test("a master that freezes closes no connection: the holder goes on with its replica, and who waits goes along", () =>
      withLocks(kind, async (locks) => {
        const { holder, waits } = await crowd(locks, 12_000);
        master.freeze();
        await changed();
        await eventually("the holder is renewed there", () => holder.remaining > 10_000);
        await eventually("the others wait there", async () => (await master.standing(NAME)).waiters === 2, 20_000);
        assert.equal(await holder.release(), true);
        replica.thaw();
        await cluster.untilFollows(replica, master);
        await serves(waits, holder.token);
      }));
  });
}
