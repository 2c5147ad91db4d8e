import type { Connection, Server } from "../server.js";
import { type OwnClient, OwnConnection } from "./own-connection.js";
import { slotOf } from "./slot.js";

// What is used of node-redis 5 and 6.
interface NodeRedis {
  readonly isOpen: boolean;
  readonly options?: { readonly socket?: object };
  sendCommand(args: string[], options: object): Promise<unknown>;
  duplicate(overrides: object): NodeRedis;
  connect(): Promise<unknown>;
  destroy(): void;
  on(event: "error", listener: (error: unknown) => void): unknown;
}

interface NodeRedisPool {
  readonly isOpen: boolean;
  readonly totalClients: number;
  sendCommand(args: string[], options: object): Promise<unknown>;
  execute<T>(task: (client: NodeRedis) => T): Promise<T>;
}

interface NodeRedisCluster<Node = unknown> {
  readonly isOpen: boolean;
  readonly slots: readonly ({ readonly master: Node } | undefined)[];
  sendCommand(firstKey: string, isReadonly: boolean, args: string[], options: object): Promise<unknown>;
  nodeClient(node: Node): NodeRedis | Promise<NodeRedis>;
}

interface NodeRedisSentinel {
  readonly isOpen: boolean;
  sendCommand(isReadonly: boolean, args: string[], options: object): Promise<unknown>;
  getMasterNode(): unknown;
  /** Runs a function with the client of the master: what its commands and scripts are made of. */
  _execute<T>(isReadonly: boolean, task: (client: NodeRedis) => Promise<T>): Promise<T>;
}

const has = (redis: unknown, ...methods: readonly string[]): boolean =>
  typeof redis === "object" &&
  redis !== null &&
  methods.every((method) => typeof (redis as Record<string, unknown>)[method] === "function");

export const isNodeRedis = (redis: unknown): redis is NodeRedis =>
  has(redis, "sendCommand", "duplicate", "connect", "destroy");

export const isNodeRedisPool = (redis: unknown): redis is NodeRedisPool =>
  has(redis, "sendCommand", "execute", "connect") && "totalClients" in (redis as object);

export const isNodeRedisCluster = (redis: unknown): redis is NodeRedisCluster =>
  has(redis, "sendCommand", "nodeClient") && "slots" in (redis as object);

export const isNodeRedisSentinel = (redis: unknown): redis is NodeRedisSentinel =>
  has(redis, "sendCommand", "getMasterNode", "_execute");

// Integers and texts as they are by default, whatever the client maps types to.
const PLAIN = { typeMapping: {} };

export function nodeRedis(client: NodeRedis): Server {
  return {
    keyPrefix: keyPrefixOf(client),
    send: async (_key, command) => client.sendCommand([...command], PLAIN),
    open: () => own((copy) => copy(client)),
    closed: () => !client.isOpen,
  };
}

export function nodeRedisPool(pool: NodeRedisPool): Server {
  return {
    keyPrefix: keyPrefixOf(pool),
    send: async (_key, command) => pool.sendCommand([...command], PLAIN),
    open: () => own((copy) => pool.execute(copy)),
    closed: () => !pool.isOpen,
  };
}

export function nodeRedisCluster(cluster: NodeRedisCluster): Server {
  return {
    keyPrefix: keyPrefixOf(cluster),
    send: async (key, command) => cluster.sendCommand(key, false, [...command], PLAIN),
    open: (key) =>
      own(async (copy) => {
        const shard = cluster.slots[slotOf(key)];
        if (shard === undefined) throw new Error(`no master is known for the slot of ${JSON.stringify(key)}`);
        return copy(await cluster.nodeClient(shard.master));
      }),
    closed: () => !cluster.isOpen,
  };
}

export function nodeRedisSentinel(sentinel: NodeRedisSentinel): Server {
  return {
    keyPrefix: keyPrefixOf(sentinel),
    send: async (_key, command) => sentinel.sendCommand(false, [...command], PLAIN),
    open: () => own((copy) => sentinel._execute(false, async (client) => copy(client))),
    closed: () => !sentinel.isOpen,
  };
}

function keyPrefixOf(redis: object): string {
  const { _keyPrefix, options } = redis as { _keyPrefix?: unknown; options?: { keyPrefix?: unknown } };
  return String(_keyPrefix ?? options?.keyPrefix ?? "");
}

type Copy = (client: NodeRedis) => OwnClient;

function own(make: (copy: Copy) => OwnClient | Promise<OwnClient>): Connection {
  return new OwnConnection(() => make(copyForAWait));
}

// The copy has one request to carry, however long that takes, and fails when its connection does.
function copyForAWait(client: NodeRedis): OwnClient {
  const ended = new AbortController();
  const copy = client.duplicate({
    // `signal`: an option of Node's sockets. It also ends one that is still being connected, which destroy() does not.
    socket: { ...client.options?.socket, reconnectStrategy: false, socketTimeout: undefined, signal: ended.signal },
    commandOptions: PLAIN,
    disableOfflineQueue: false,
    pingInterval: undefined,
    clientSideCache: undefined,
    emitInvalidate: false,
    maintNotifications: "disabled",
    readonly: false,
  });
  copy.on("error", () => {}); // told by what is sent
  return {
    connect: () => copy.connect(),
    send: (command) => copy.sendCommand([...command], PLAIN),
    destroy: () => {
      if (copy.isOpen) copy.destroy();
      ended.abort();
    },
  };
}
