import type { Connection, Server } from "../server.js";
import { type OwnClient, OwnConnection } from "./own-connection.js";
import { slotOf } from "./slot.js";
import { within } from "../within.js";

// What is used of node-redis 5 and 6.
interface NodeRedis {
  readonly isOpen: boolean;
  readonly isReady: boolean;
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

interface Node {
  readonly client?: NodeRedis;
}

interface NodeRedisCluster {
  readonly isOpen: boolean;
  readonly slots: readonly ({ readonly master: Node } | undefined)[];
  readonly masters: readonly Node[];
  /** Not in the first versions. */
  readonly _slots?: { rediscover(client: NodeRedis): Promise<unknown> };
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

// Integers and texts as they are by default, whatever the client maps types to. Without a time limit of the client's, for
// which node-redis 6 makes an AbortSignal for each command: locks have their own.
const PLAIN = { typeMapping: {}, timeout: undefined };

const LOOK_MS = 2000;

export function nodeRedis(client: NodeRedis): Server {
  return {
    keyPrefix: keyPrefixOf(client),
    send: async (_key, command) => client.sendCommand([...command], PLAIN),
    open: () => own((copy) => copy(client)),
    lookAgain: () => {},
    closed: () => !client.isOpen,
  };
}

export function nodeRedisPool(pool: NodeRedisPool): Server {
  return {
    keyPrefix: keyPrefixOf(pool),
    send: async (_key, command) => pool.sendCommand([...command], PLAIN),
    open: () => own((copy) => pool.execute(copy)),
    lookAgain: () => {},
    closed: () => !pool.isOpen,
  };
}

/**
 * A master that died is waited for by node-redis 5, as long as that takes, with all commands for it. And whatever version:
 * who is frozen is not seen to be. So another master is asked here who has taken over.
 */
export function nodeRedisCluster(cluster: NodeRedisCluster): Server {
  const masterOf = (key: string): Node | undefined => cluster.slots[slotOf(key)]?.master;
  const isCutOff = (node: Node | undefined): boolean => node?.client?.isReady === false;
  const lookAgain = async (key: string): Promise<void> => {
    const others = cluster.masters.filter((node) => node !== masterOf(key) && node.client?.isReady === true);
    const other = others[Math.floor(Math.random() * others.length)];
    if (other !== undefined) await within(LOOK_MS, undefined, rediscover(cluster, other)).catch(() => {});
  };
  const send = async (key: string, command: readonly string[]): Promise<unknown> => {
    if (isCutOff(masterOf(key))) await lookAgain(key);
    if (isCutOff(masterOf(key))) throw new Error("there is no connection to the master of its slot");
    return cluster.sendCommand(key, false, [...command], PLAIN);
  };
  return {
    keyPrefix: keyPrefixOf(cluster),
    send,
    lookAgain: (key) => void lookAgain(key),
    open: (key) =>
      own(async (copy) => {
        const master = masterOf(key);
        if (master === undefined) throw new Error(`no master is known for the slot of ${JSON.stringify(key)}`);
        return copy(master.client ?? (await cluster.nodeClient(master)));
      }),
    closed: () => !cluster.isOpen,
  };
}

async function rediscover(cluster: NodeRedisCluster, node: Node): Promise<void> {
  if (cluster._slots !== undefined) return void (await cluster._slots.rediscover(node.client!));
  // Asked for what belongs to the others, it says so, and the client looks for the slots anew.
  const slots = Array.from({ length: 1000 }, (_, i) => [String(i), cluster.slots[slotOf(String(i))]?.master] as const);
  const [its] = slots.find(([, master]) => master === node) ?? [];
  const [others] = slots.find(([, master]) => master !== node) ?? [];
  if (its !== undefined && others !== undefined) await cluster.sendCommand(its, false, ["EXISTS", others], PLAIN);
}

export function nodeRedisSentinel(sentinel: NodeRedisSentinel): Server {
  return {
    keyPrefix: keyPrefixOf(sentinel),
    send: async (_key, command) => sentinel.sendCommand(false, [...command], PLAIN),
    open: () => own((copy) => sentinel._execute(false, async (client) => copy(client))),
    lookAgain: () => {},
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
