import { Cluster as IoCluster5 } from "ioredis5";
import IoRedis50 from "ioredis50";
import { Cluster as IoCluster6 } from "ioredis6";
import { Cluster as ValkeyCluster } from "iovalkey";
import * as redis5 from "redis5";
import * as redis50 from "redis50";
import * as redis6 from "redis6";
import type { RedisClient } from "@redis-lock/client";
import type { Certificates, Tls } from "./certificates.mjs";
import { urlOf } from "./clients.mjs";
import { eventually } from "./eventually.mjs";
import { TestServer } from "./server.mjs";

const SLOTS = 16384;
const ARGS = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0"];

/** Three masters that share the slots. */
export class TestCluster {
  readonly nodes: readonly TestServer[];

  private constructor(nodes: readonly TestServer[]) {
    this.nodes = nodes;
  }

  static async start(certificates?: Certificates): Promise<TestCluster> {
    const nodes: TestServer[] = [];
    for (let i = 0; i < 3; i++) nodes.push(await TestServer.start({ args: ARGS, ...(certificates && { certificates }) }));
    const share = Math.ceil(SLOTS / nodes.length);
    for (const [i, node] of nodes.entries()) {
      await node.ask("CLUSTER", "SET-CONFIG-EPOCH", String(i + 1));
      const last = Math.min(SLOTS, (i + 1) * share) - 1;
      await node.ask("CLUSTER", "ADDSLOTSRANGE", String(i * share), String(last));
      if (i > 0) await node.ask("CLUSTER", "MEET", "127.0.0.1", String(nodes[0]!.tlsPort || nodes[0]!.port));
    }
    const cluster = new TestCluster(nodes);
    await eventually("all nodes know all slots", async () => {
      const shards = await Promise.all(nodes.map((node) => node.ask<unknown[]>("CLUSTER", "SLOTS")));
      const states = await Promise.all(nodes.map((node) => node.ask<string>("CLUSTER", "INFO")));
      return shards.every(({ length }) => length === 3) && states.every((state) => state.includes("cluster_state:ok"));
    });
    return cluster;
  }

  /** A node that follows this one, and is known to all as its replica. */
  async replicate(master: TestServer): Promise<TestServer> {
    const replica = await TestServer.start({ args: ARGS });
    await replica.ask("CLUSTER", "MEET", "127.0.0.1", String(master.port));
    const id = await master.ask<string>("CLUSTER", "MYID");
    await eventually("it knows its master", async () => (await replica.ask("CLUSTER", "REPLICATE", id)) === "OK");
    await this.untilFollows(replica, master);
    return replica;
  }

  /** Until a node is a replica that has all, and that every master knows as one. */
  async untilFollows(replica: TestServer, master: TestServer): Promise<void> {
    const id = await replica.ask<string>("CLUSTER", "MYID");
    const known = new RegExp(`^${id} .*slave .* connected`, "m");
    await eventually(
      "the replica is in sync, and known to all",
      async () => {
        const nodes = await Promise.all(this.nodes.map((node) => node.ask<string>("CLUSTER", "NODES")));
        const link = await replica.ask<string>("INFO", "replication");
        return link.includes("master_link_status:up") && nodes.every((text) => known.test(text.replaceAll("myself,", "")));
      },
      30_000,
    );
    await replica.untilCaughtUp(master);
  }

  async ownerOf(key: string): Promise<TestServer> {
    const slot = await this.nodes[0]!.ask<number>("CLUSTER", "KEYSLOT", key);
    const shards = await this.nodes[0]!.ask<[number, number, [string, number]][]>("CLUSTER", "SLOTS");
    const [, , [, port]] = shards.find(([first, last]) => first <= slot && slot <= last)!;
    return this.nodes.find((node) => node.port === port)!;
  }

  /** Gives the slot of the key to another node, with the keys that are in it. */
  async move(key: string): Promise<{ from: TestServer; to: TestServer }> {
    const from = await this.ownerOf(key);
    const to = this.nodes[(this.nodes.indexOf(from) + 1) % this.nodes.length]!;
    const slot = String(await from.ask<number>("CLUSTER", "KEYSLOT", key));
    const [fromId, toId] = [await from.ask<string>("CLUSTER", "MYID"), await to.ask<string>("CLUSTER", "MYID")];
    await to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", fromId);
    await from.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", toId);
    const keys = await from.ask<string[]>("CLUSTER", "GETKEYSINSLOT", slot, "100");
    if (keys.length > 0) await from.ask("MIGRATE", "127.0.0.1", String(to.port), "", "0", "5000", "KEYS", ...keys);
    for (const node of [to, from, ...this.nodes]) await node.ask("CLUSTER", "SETSLOT", slot, "NODE", toId);
    return { from, to };
  }

  async stop(): Promise<void> {
    for (const node of this.nodes) await node.stop();
  }
}

export interface ClusterKind {
  readonly name: string;
  connect(nodes: readonly TestServer[], tls?: Tls): Promise<{ redis: RedisClient; close: () => unknown }>;
}

type NodeRedisLibrary = {
  createCluster(options: object): RedisClient & { on(event: "error", listener: () => void): unknown; connect(): Promise<unknown>; destroy(): unknown };
};

const nodeRedis = (name: string, library: unknown, RESP: 2 | 3): ClusterKind => ({
  name: `${name}, RESP${RESP}`,
  connect: async (nodes, tls) => {
    const rootNodes = nodes.map((node) => ({ url: urlOf(tls ? node.tlsPort : node.port, tls) }));
    const redis = (library as NodeRedisLibrary).createCluster({ RESP, rootNodes, defaults: { socket: { ...(tls && { tls: true, ...tls }) } } });
    redis.on("error", () => {});
    await redis.connect();
    return { redis, close: () => redis.destroy() };
  },
});

type IoRedisCluster = new (nodes: object[], options?: object) => RedisClient & {
  on(event: "error", listener: () => void): unknown;
  disconnect(): void;
  status: string;
};

const ioRedis = (name: string, Cluster: unknown): ClusterKind => ({
  name,
  connect: async (nodes, tls) => {
    const startNodes = nodes.map((node) => ({ host: "127.0.0.1", port: tls ? node.tlsPort : node.port }));
    const redis = new (Cluster as IoRedisCluster)(startNodes, { redisOptions: { ...(tls && { tls }) } });
    redis.on("error", () => {});
    await eventually("the cluster client is ready", () => redis.status === "ready");
    return { redis, close: () => redis.disconnect() };
  },
});

export const CLUSTER_KINDS: readonly ClusterKind[] = [
  nodeRedis("node-redis 5.0", redis50, 2),
  nodeRedis("node-redis 5", redis5, 3),
  nodeRedis("node-redis 6", redis6, 3),
  ioRedis("ioredis 5.0", (IoRedis50 as unknown as { Cluster: unknown }).Cluster),
  ioRedis("ioredis 5", IoCluster5),
  ioRedis("ioredis 6", IoCluster6),
  ioRedis("iovalkey", ValkeyCluster),
];
