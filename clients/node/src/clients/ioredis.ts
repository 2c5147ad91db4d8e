import type { Connection, Server } from "../server.js";
import { OwnConnection } from "./own-connection.js";
import { slotOf } from "./slot.js";

// What is used of ioredis 5 and 6, and of iovalkey.
interface IoRedis {
  readonly status: string;
  readonly options: { readonly keyPrefix?: unknown; readonly host?: unknown; readonly port?: unknown };
  /** Where commands go after a SELECT. */
  readonly condition?: { readonly select?: number } | null;
  call(command: string, ...args: readonly string[]): Promise<unknown>;
  duplicate(override: object): IoRedis;
  connect(): Promise<unknown>;
  disconnect(): void;
  on(event: "error", listener: (error: unknown) => void): unknown;
}

interface IoRedisCluster {
  readonly isCluster: true;
  readonly status: string;
  readonly options: { readonly keyPrefix?: unknown };
  /** For each slot: "host:port" of its nodes, the master first. */
  readonly slots: readonly (readonly string[] | undefined)[];
  call(command: string, ...args: readonly string[]): Promise<unknown>;
  nodes(role: "master"): readonly IoRedis[];
  refreshSlotsCache(): void;
}

export function isIoRedis(redis: unknown): redis is IoRedis {
  const { call, duplicate, status } = (redis ?? {}) as Partial<IoRedis>;
  return typeof call === "function" && typeof duplicate === "function" && typeof status === "string";
}

export function isIoRedisCluster(redis: unknown): redis is IoRedisCluster {
  const { isCluster, call, nodes } = (redis ?? {}) as Partial<IoRedisCluster>;
  return isCluster === true && typeof call === "function" && typeof nodes === "function";
}

/** One server, also one that Sentinel names. */
export function ioRedis(redis: IoRedis): Server {
  return {
    keyPrefix: String(redis.options.keyPrefix ?? ""),
    send: async (_key, command) => call(redis, command),
    open: () => own(() => redis),
    lookAgain: () => {},
    closed: () => redis.status === "end",
  };
}

/**
 * A Cluster of ioredis does not know where the keys of a module's commands stand, and would ask any node first.
 * So the slot's master is asked here; what does not succeed there is left to the Cluster, which follows slots
 * that move and nodes that fail.
 */
export function ioRedisCluster(cluster: IoRedisCluster): Server {
  const masterOf = (key: string): IoRedis | undefined => {
    const address = cluster.slots[slotOf(key)]?.[0];
    return cluster.nodes("master").find(({ options }) => `${String(options.host)}:${String(options.port)}` === address);
  };
  const send = async (key: string, command: readonly string[]): Promise<unknown> => {
    const master = cluster.status === "ready" ? masterOf(key) : undefined;
    if (master === undefined) return call(cluster, command);
    return call(master, command).catch((error: unknown) => {
      if (isElsewhere(error)) return call(cluster, command);
      throw error;
    });
  };
  return {
    keyPrefix: String(cluster.options.keyPrefix ?? ""),
    send,
    open: (key) =>
      own(() => {
        const master = masterOf(key);
        if (master === undefined) throw new Error(`no master is known for the slot of ${JSON.stringify(key)}`);
        return master;
      }),
    lookAgain: () => cluster.refreshSlotsCache(),
    closed: () => cluster.status === "end",
  };
}

function isElsewhere(error: unknown): boolean {
  return error instanceof Error && /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN|Connection is closed)\b/.test(error.message);
}

function call(redis: Pick<IoRedis, "call">, [name = "", ...args]: readonly string[]): Promise<unknown> {
  return redis.call(name, ...args);
}

// The copy has one request to carry, however long that takes, and fails when its connection does.
const FOR_A_WAIT = {
  lazyConnect: true,
  commandTimeout: undefined,
  socketTimeout: undefined,
  blockingTimeout: undefined,
  disconnectTimeout: 0,
  retryStrategy: null,
  sentinelRetryStrategy: null,
  sentinelCommandTimeout: 5000,
  failoverDetector: false,
  reconnectOnError: null,
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: true,
  enableAutoPipelining: false,
  monitor: false,
  readOnly: false,
};

function own(original: () => IoRedis): Connection {
  return new OwnConnection(() => {
    const redis = original();
    const db = redis.condition?.select;
    const copy = redis.duplicate({ ...FOR_A_WAIT, ...(db !== undefined && { db }) });
    copy.on("error", () => {}); // told by what is sent
    return {
      connect: () => copy.connect(),
      send: (command) => call(copy, command),
      destroy: () => copy.disconnect(),
    };
  });
}
