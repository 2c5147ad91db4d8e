import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis as IoRedis5 } from "ioredis5";
import IoRedis50 from "ioredis50";
import { Redis as IoRedis6 } from "ioredis6";
import { Redis as IoValkey } from "iovalkey";
import * as redis5 from "redis5";
import * as redis50 from "redis50";
import * as redis6 from "redis6";
import type { RedisClient } from "@redis-lock/client";
import type { Tls } from "./certificates.mjs";
import { eventually } from "./eventually.mjs";
import { freePort, SERVER, TestServer } from "./server.mjs";

/** A master, its replica, and a sentinel that promotes the replica half a second after the master is silent. */
export class TestSentinel {
  readonly port: number;
  readonly master: TestServer;
  readonly replica: TestServer;
  readonly #process: ChildProcess;

  private constructor(port: number, master: TestServer, replica: TestServer, process: ChildProcess) {
    this.port = port;
    this.master = master;
    this.replica = replica;
    this.#process = process;
  }

  static async start(): Promise<TestSentinel> {
    const master = await TestServer.start({ args: ["--repl-diskless-sync-delay", "0"] });
    const replica = await TestServer.start({ args: ["--replicaof", "127.0.0.1", String(master.port)] });
    await eventually("the replica is in sync", async () => /master_link_status:up/.test(await replica.ask("INFO", "replication")));
    const port = await freePort();
    const config = join(master.folder, "sentinel.conf");
    const lines = [
      `port ${port}`,
      "bind 127.0.0.1",
      `sentinel monitor locks 127.0.0.1 ${master.port} 1`,
      "sentinel down-after-milliseconds locks 500",
      "sentinel failover-timeout locks 3000",
    ];
    writeFileSync(config, `${lines.join("\n")}\n`);
    const sentinel = spawn(SERVER, [config, "--sentinel"], { stdio: "ignore" });
    const client = redis6.createClient({ url: `redis://127.0.0.1:${port}` });
    client.on("error", () => {});
    await client.connect();
    await eventually("the sentinel knows the replica", async () => {
      const replicas = (await client.sendCommand(["SENTINEL", "REPLICAS", "locks"])) as unknown[];
      return replicas.length === 1 && JSON.stringify(replicas).includes('"ok"');
    });
    client.destroy();
    return new TestSentinel(port, master, replica, sentinel);
  }

  async untilPromoted(): Promise<void> {
    await eventually("the replica is promoted", async () => /role:master/.test(await this.replica.ask("INFO", "replication")), 20_000);
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
    await this.replica.stop();
    await this.master.stop();
  }
}

export interface SentinelWish {
  tls?: Tls;
  /**
   * Whether the client listens to the sentinels for a new master. ioredis 5 ends for good where it is told of one while it
   * connects.
   */
  listens?: boolean;
}

export interface SentinelKind {
  readonly name: string;
  connect(port: number, wish?: SentinelWish): Promise<{ redis: RedisClient; close: () => unknown }>;
}

type NodeRedisLibrary = {
  createSentinel(options: object): RedisClient & { on(event: "error", listener: () => void): unknown; connect(): Promise<unknown>; destroy(): unknown };
};

const nodeRedis = (name: string, library: unknown, RESP: 2 | 3): SentinelKind => ({
  name: `${name}, RESP${RESP}`,
  connect: async (port, { tls } = {}) => {
    const socket = { connectTimeout: 1000, ...(tls && { tls: true, ...tls }) };
    const clients = { nodeClientOptions: { RESP, socket }, sentinelClientOptions: { socket } };
    const options = { name: "locks", RESP, sentinelRootNodes: [{ host: "127.0.0.1", port }], ...clients };
    const redis = (library as NodeRedisLibrary).createSentinel(options);
    redis.on("error", () => {});
    await redis.connect();
    return { redis, close: () => redis.destroy() };
  },
});

type IoRedisClass = new (options: object) => RedisClient & {
  on(event: "error", listener: () => void): unknown;
  disconnect(): void;
  status: string;
};

const ioRedis = (name: string, Redis: unknown): SentinelKind => ({
  name,
  connect: async (port, { tls, listens = false } = {}) => {
    const secure = tls && { tls, sentinelTLS: tls, enableTLSForSentinelMode: true };
    const sentinels = [{ host: "127.0.0.1", port }];
    const redis = new (Redis as IoRedisClass)({ sentinels, name: "locks", failoverDetector: listens, ...secure });
    redis.on("error", () => {});
    await eventually("the client is ready", () => redis.status === "ready");
    return { redis, close: () => redis.disconnect() };
  },
});

export const SENTINEL_KINDS: readonly SentinelKind[] = [
  nodeRedis("node-redis 5.0", redis50, 2),
  nodeRedis("node-redis 5", redis5, 3),
  nodeRedis("node-redis 6", redis6, 3),
  ioRedis("ioredis 5.0", IoRedis50),
  ioRedis("ioredis 5", IoRedis5),
  ioRedis("ioredis 6", IoRedis6),
  ioRedis("iovalkey", IoValkey),
];
