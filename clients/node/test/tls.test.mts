import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { LockHeld, Locks } from "@redis-lock/client";
import { Certificates, missing, TLS_SERVER } from "./support/certificates.mjs";
import { KINDS, NEWEST, POOLS } from "./support/clients.mjs";
import { CLUSTER_KINDS, TestCluster } from "./support/cluster.mjs";
import { eventually } from "./support/eventually.mjs";
import { Proxy } from "./support/proxy.mjs";
import { SENTINEL_KINDS } from "./support/sentinel.mjs";
import { freePort, TestServer } from "./support/server.mjs";

const skip = process.env["REDIS_LOCK_SKIP_NOTHING"] === undefined && missing();

/** It locks; who waits stands in line over TLS, too; who gives up is gone from there. */
async function works(locks: Locks, server: TestServer, name: string): Promise<void> {
  const lock = await locks.acquire(name, { ttl: "30s" });
  await assert.rejects(locks.acquire(name, { ttl: "30s" }), LockHeld);
  const waiting = locks.acquire(name, { ttl: "30s", wait: "30s" });
  await server.untilWaiting(name, 1);
  const abort = new AbortController();
  const aborted = assert.rejects(locks.acquire(name, { ttl: "30s", wait: "30s", signal: abort.signal }));
  await server.untilWaiting(name, 2);
  assert.deepEqual(await portsInLine(server, name), [server.tlsPort, server.tlsPort]);
  abort.abort();
  await aborted;
  await server.untilWaiting(name, 1);
  assert.equal(await lock.release(), true);
  await (await waiting).release();
  await server.untilFree(name);
}

/** At which of the server's ports those in line have come in. */
async function portsInLine(server: TestServer, name: string): Promise<number[]> {
  const { waiters } = await server.ask<{ waiters: { client: number }[] }>("LOCK.INFO", name);
  const list = await server.ask<string>("CLIENT", "LIST", "ID", ...waiters.map(({ client }) => String(client)));
  return [...list.matchAll(/ laddr=\S+:(\d+)/g)].map(([, port]) => Number(port));
}

describe("TLS with an authority and a certificate of the user's own", { skip }, () => {
  let certificates: Certificates;
  let server: TestServer;
  before(async () => {
    certificates = new Certificates();
    server = await TestServer.start({ certificates });
  });
  after(async () => {
    await server.stop();
    certificates.remove();
  });

  for (const kind of [...KINDS, ...POOLS]) {
    test(`${kind.name}: locks and waits`, async () => {
      const { redis, close } = await kind.connect(server.tlsPort, { tls: certificates.ofClient() });
      try {
        await works(new Locks(redis), server, kind.name);
      } finally {
        close();
      }
    });
  }

  for (const kind of NEWEST) {
    test(`${kind.name}: a wait that is aborted while nobody answers its connection ends at once, and closes it`, async () => {
      const proxy = await Proxy.start(server.tlsPort);
      const { redis, close } = await kind.connect(proxy.port, { tls: certificates.ofClient() });
      try {
        const locks = new Locks(redis);
        const holder = await locks.acquire("silent", { ttl: "30s" });
        const before = proxy.connections;
        proxy.isSilent = true;
        const abort = new AbortController();
        const waiting = locks.acquire("silent", { ttl: "30s", wait: "30s", signal: abort.signal });
        await eventually("it connects", () => proxy.connections === before + 1);
        abort.abort(new Error("no longer wanted"));
        await assert.rejects(waiting, /no longer wanted/);
        await eventually("its connection is closed", () => proxy.connections === before, 2000); // not by a time limit
        await holder.release();
      } finally {
        close();
        proxy.stop();
      }
    });
  }

  describe("in a cluster", () => {
    let cluster: TestCluster;
    before(async () => void (cluster = await TestCluster.start(certificates)));
    after(() => cluster.stop());

    for (const kind of CLUSTER_KINDS) {
      test(kind.name, async () => {
        const { redis, close } = await kind.connect(cluster.nodes, certificates.ofClient());
        try {
          const locks = new Locks(redis);
          await Promise.all(["a", "b", "c"].map(async (key) => {
            const name = `${key}:${kind.name}`;
            await works(locks, await cluster.ownerOf(name), name);
          }));
        } finally {
          await close();
        }
      });
    }
  });

  describe("with Sentinel", () => {
    let port: number;
    let sentinel: ChildProcess;
    before(async () => {
      port = await freePort();
      const config = join(server.folder, "sentinel.conf");
      writeFileSync(config, `sentinel monitor locks 127.0.0.1 ${server.tlsPort} 1\n`);
      sentinel = spawn(TLS_SERVER!, [config, "--sentinel", "--port", "0", ...certificates.ofServer(port)], { stdio: "ignore" });
    });
    after(async () => {
      const ended = once(sentinel, "exit");
      sentinel.kill("SIGKILL");
      await ended;
    });

    for (const kind of SENTINEL_KINDS) {
      test(kind.name, async () => {
        const { redis, close } = await kind.connect(port, { tls: certificates.ofClient() });
        try {
          await works(new Locks(redis), server, `sentinel:${kind.name}`);
        } finally {
          await close();
        }
      });
    }
  });
});
