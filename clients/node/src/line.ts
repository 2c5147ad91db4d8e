import { type Asker, answered } from "./asker.js";
import * as commands from "./commands.js";
import type { Request } from "./request.js";
import type { Connection } from "./server.js";
import { now, within } from "./within.js";

// The server answers when the time is up; one that is frozen does not.
const GRACE_MS = 1000;

// How often to look whether the place is still there: at first, and after the pauses have doubled.
const FIRST_LOOK_MS = 10_000;
const LAST_LOOK_MS = 60_000;
// Where nobody answered, and another may do so now.
const NEXT_LOOK_MS = 2000;

/** Sends, and knows whether the answer leaves a doubt. */
type Ask = (send: () => Promise<unknown>) => Promise<number | null>;

/**
 * A place in line, on a connection of its own: whatever shared it would wait too. What is asked here is asked with
 * SESSION, so that closing the connection takes it all away: the place, a grant that nobody has read, and the names
 * that came before.
 */
export class Line {
  readonly #asker: Asker;
  readonly #request: Request;
  readonly #keys: readonly string[];
  readonly #connection: Connection;
  readonly #granted = new Set<string>();
  #renewal: NodeJS.Timeout | undefined;
  #look: NodeJS.Timeout | undefined;

  constructor(asker: Asker, request: Request, keys: readonly string[]) {
    this.#asker = asker;
    this.#request = request;
    // Everybody takes several names in one order (that of their bytes), so that nobody waits in a circle.
    this.#keys = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    this.#connection = asker.server.open(keys[0]!);
  }

  /** One name after the other. Whether all were granted before `end`. */
  async stand(end: number, ask: Ask): Promise<boolean> {
    for (const key of this.#keys) {
      const blockMs = Math.max(1, Math.ceil(end - now()));
      const { ttl, options, signal } = this.#request;
      const block = [...options, "SESSION", "BLOCK", String(blockMs)];
      const command = commands.acquire([key], this.#asker.owner, ttl, block);
      this.#lookAfter(key, FIRST_LOOK_MS);
      const answer = ask(() => this.#connection.send(command));
      const token = await within(blockMs + GRACE_MS, signal, answer);
      this.#lookNoMore();
      if (token === null) return false;
      this.#keep(key);
    }
    return true;
  }

  close(): void {
    clearInterval(this.#renewal);
    this.#lookNoMore();
    this.#connection.close();
  }

  // What came first must last until the rest has come. If it does not, the next question tells.
  #keep(key: string): void {
    this.#granted.add(key);
    if (this.#keys.length === 1) return;
    this.#renewal ??= setInterval(() => this.#extend([...this.#granted]), this.#request.ttl / 2);
  }

  #extend(keys: readonly string[]): void {
    const { server, owner } = this.#asker;
    server.send(keys[0]!, commands.extend(keys, owner, this.#request.ttl)).catch(() => {});
  }

  // A server that is frozen, cut off or replaced tells nobody that its line is gone. So the one that the client uses now
  // is asked; if this owner is unknown there, the wait begins again. Where it may not be asked, the wait goes on.
  #lookAfter(key: string, ms: number): void {
    const { server, owner, timeout } = this.#asker;
    const look = setTimeout(async () => {
      let next = Math.min(ms * 2, LAST_LOOK_MS);
      const info = await answered(this.#asker, key, timeout, undefined, server.send(key, ["LOCK.INFO", key])).catch(() => {
        next = NEXT_LOOK_MS;
        return owner;
      });
      if (this.#look !== look) return;
      if (mentions(info, owner)) this.#lookAfter(key, next);
      else this.#connection.close();
    }, ms);
    this.#look = look.unref();
  }

  #lookNoMore(): void {
    clearTimeout(this.#look);
    this.#look = undefined;
  }
}

function mentions(reply: unknown, text: string): boolean {
  if (typeof reply !== "object" || reply === null) return reply === text;
  const parts = reply instanceof Map ? [...reply.values()] : Object.values(reply);
  return parts.some((part) => mentions(part, text));
}
