import { setMaxListeners } from "node:events";
import { type Duration, milliseconds, show } from "./duration.js";
import { LockConfig } from "./errors.js";

/** One name, or several that are taken together, under one token. */
export type Names = string | readonly string[];

export interface AcquireOptions {
  /** How long the lock lasts unless it is renewed or extended; the others wait that long if this process dies. */
  ttl: Duration;
  /** How long to stand in line for it. Without it: one question, and `LockHeld` if the answer is no. */
  wait?: Duration | undefined;
  /** Tolerate others that are shared as well, as readers do. */
  shared?: boolean | undefined;
  /** Be one of at most so many holders. */
  limit?: number | undefined;
  /** Ask for a token of at least this. */
  fence?: number | undefined;
  /** Up to 512 bytes that LOCK.INFO shows with the lock: who, and why. */
  meta?: string | undefined;
  /** Renew at half of the ttl until the lock is released. `using` does it anyway. */
  renew?: boolean | undefined;
  /** Ends the wait. What the lock is held for has `lock.signal`. */
  signal?: AbortSignal | undefined;
}

/** What was asked for, checked. */
export interface Request {
  readonly names: readonly string[];
  readonly ttl: number;
  readonly wait: number;
  readonly renew: boolean;
  readonly signal: AbortSignal | undefined;
  /** The options of LOCK.ACQUIRE and LOCK.MACQUIRE that every question of this request carries. */
  readonly options: readonly string[];
}

const KNOWN = new Set(["ttl", "wait", "shared", "limit", "fence", "meta", "renew", "signal"]);

export function request(names: Names, options: AcquireOptions): Request {
  if (typeof options !== "object" || options === null) {
    throw new LockConfig(`the options are ${show(options)}: give at least a ttl, as in { ttl: "30s" }`);
  }
  const unknown = Object.keys(options).find((name) => !KNOWN.has(name));
  if (unknown !== undefined) {
    throw new LockConfig(`there is no option ${unknown}: there are ${[...KNOWN].join(", ")}`);
  }
  if (options.signal !== undefined && typeof options.signal?.addEventListener !== "function") {
    throw new LockConfig(`signal is ${show(options.signal)}: give an AbortSignal`);
  }
  shareable(options.signal);
  return {
    names: distinct(names),
    ttl: milliseconds("ttl", options.ttl, 1),
    wait: milliseconds("wait", options.wait ?? 0, 0),
    renew: options.renew ?? false,
    signal: options.signal,
    options: [...kind(options), ...fence(options), ...meta(options)],
  };
}

// One signal may end many waits, as that of a program's end: its listeners are no leak, and no reason for a warning.
function shareable(signal: AbortSignal | undefined): void {
  if (signal instanceof EventTarget) setMaxListeners(0, signal);
}

function distinct(names: Names): readonly string[] {
  const list = typeof names === "string" ? [names] : Array.isArray(names) ? [...new Set<unknown>(names)] : [];
  if (list.length > 0 && list.every((name) => typeof name === "string" && name !== "")) return list as string[];
  throw new LockConfig(`the name of the lock is ${show(names)}: give a text that is not empty, or a list of such`);
}

function kind({ shared, limit }: AcquireOptions): string[] {
  if (shared && limit !== undefined) {
    throw new LockConfig(`shared and limit ${limit} exclude each other: shared tolerates any number of others`);
  }
  if (shared) return ["SHARED"];
  if (limit === undefined) return [];
  if (Number.isInteger(limit) && limit >= 1 && limit <= 10_000) return ["LIMIT", String(limit)];
  throw new LockConfig(`limit is ${show(limit)}: it must be a whole number from 1 to 10000`);
}

function fence({ fence }: AcquireOptions): string[] {
  if (fence === undefined) return [];
  if (Number.isSafeInteger(fence) && fence >= 1) return ["FENCE", String(fence)];
  throw new LockConfig(`fence is ${show(fence)}: it must be a token, a whole number above 0`);
}

function meta({ meta }: AcquireOptions): string[] {
  if (meta === undefined) return [];
  if (typeof meta === "string" && Buffer.byteLength(meta) <= 512) return ["META", meta];
  throw new LockConfig(`meta is ${show(meta)}: it must be a text of at most 512 bytes`);
}
