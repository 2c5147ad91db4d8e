import { createRequire } from "node:module";
import { Locks, type LocksOptions, type RedisClient } from "@redis-lock/client";
import type { Tls } from "./certificates.mjs";
import { eventually } from "./eventually.mjs";
import type { TestServer } from "./server.mjs";

/** What a test may change about a client, in the words of each library. */
export interface Wish {
  /** The client's own limit on an answer, which a wait has to outlive. */
  timeout?: number;
  keyPrefix?: string;
  username?: string;
  password?: string;
  tls?: Tls;
}

/** The port of a server on this machine, in a URL. */
export const urlOf = (port: number, tls: Tls | undefined): string => (tls ? `rediss://localhost:${port}` : `redis://127.0.0.1:${port}`);

/** A client under test: each library in its oldest and its newest supported version, over RESP2 and RESP3. */
export interface Kind {
  readonly name: string;
  /** Whether its own commands know a prefix for keys. */
  readonly prefixes: boolean;
  connect(port: number, wish?: Wish): Promise<{ redis: RedisClient; close: () => void }>;
}

// Each library is loaded when it is first used: a program of a test's needs but one.
const require = createRequire(import.meta.url);

type NodeRedis = {
  createClient(options: object): RedisClient & {
    on(event: "error", listener: () => void): unknown;
    connect(): Promise<unknown>;
    destroy(): void;
    isOpen: boolean;
  };
};

function nodeRedis(name: string, library: string, RESP: 2 | 3): Kind {
  return {
    name: `${name}, RESP${RESP}`,
    prefixes: library === "redis6",
    connect: async (port, { timeout, tls, ...wish } = {}) => {
      const limits = timeout === undefined ? {} : { commandOptions: { timeout } };
      const socket = { ...tls, ...(timeout !== undefined && { socketTimeout: timeout, reconnectStrategy: () => 20 }) };
      const { createClient } = require(library) as NodeRedis;
      const redis = createClient({ RESP, url: urlOf(port, tls), socket, ...limits, ...wish });
      redis.on("error", () => {});
      await redis.connect();
      return { redis, close: () => redis.isOpen && redis.destroy() };
    },
  };
}

type NodeRedisPool = {
  createClientPool(client: object, pool: object): RedisClient & {
    on(event: "error", listener: () => void): unknown;
    connect(): Promise<unknown>;
    destroy(): void;
  };
};

function nodeRedisPool(name: string, library: string): Kind {
  return {
    name: `${name}, pool`,
    prefixes: false,
    connect: async (port, { timeout, tls, ...wish } = {}) => {
      const limits = timeout === undefined ? {} : { commandOptions: { timeout } };
      const { createClientPool } = require(library) as NodeRedisPool;
      // Of a fixed size, and without reconnection: a pool of node-redis that is destroyed while it grows fails with an
      // unhandled rejection, and may forget connections, which must not outlive the test's server.
      const size = { minimum: 4, maximum: 4 };
      const socket = { ...tls, reconnectStrategy: false };
      const redis = createClientPool({ url: urlOf(port, tls), socket, ...limits, ...wish }, size);
      redis.on("error", () => {});
      await redis.connect();
      return { redis, close: () => redis.destroy() };
    },
  };
}

type IoRedis = new (url: string, options: object) => RedisClient & {
  on(event: "error", listener: () => void): unknown;
  disconnect(): void;
  status: string;
};

function ioRedis(name: string, library: string, more: object = {}): Kind {
  return {
    name,
    prefixes: true,
    connect: async (port, { timeout, ...wish } = {}) => {
      const limits = timeout === undefined ? {} : { commandTimeout: timeout, socketTimeout: timeout };
      const Redis = require(library) as IoRedis;
      const redis = new Redis(urlOf(port, wish.tls), { ...limits, ...wish, ...more });
      redis.on("error", () => {});
      await eventually("the client is ready", () => redis.status === "ready");
      return { redis, close: () => redis.disconnect() };
    },
  };
}

export const NODE_REDIS: readonly Kind[] = [
  nodeRedis("node-redis 5.0", "redis50", 2),
  nodeRedis("node-redis 5", "redis5", 3),
  nodeRedis("node-redis 6", "redis6", 2),
  nodeRedis("node-redis 6", "redis6", 3),
];

export const IOREDIS: readonly Kind[] = [
  ioRedis("ioredis 5.0", "ioredis50"),
  ioRedis("ioredis 5", "ioredis5"),
  ioRedis("ioredis 6, RESP2", "ioredis6", { protocol: 2 }),
  ioRedis("ioredis 6, RESP3", "ioredis6"),
  ioRedis("iovalkey", "iovalkey"),
];

export const KINDS: readonly Kind[] = [...NODE_REDIS, ...IOREDIS];

export const POOLS: readonly Kind[] = [nodeRedisPool("node-redis 5", "redis5"), nodeRedisPool("node-redis 6", "redis6")];

/** One of each library, for what does not depend on its version. */
export const NEWEST: readonly Kind[] = [NODE_REDIS.at(-1)!, IOREDIS.at(-2)!];

/** Runs a test with locks over a client of that kind, and closes the client. */
export async function withLocks(
  kind: Kind,
  server: TestServer,
  test: (locks: Locks, redis: RedisClient) => Promise<void>,
  options: Wish & { locks?: LocksOptions } = {},
): Promise<void> {
  const { locks, ...wish } = options;
  const { redis, close } = await kind.connect(server.port, wish);
  try {
    await test(new Locks(redis, locks), redis);
  } finally {
    close();
  }
}
