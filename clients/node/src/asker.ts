import { randomBytes } from "node:crypto";
import type { Server } from "./server.js";
import { within } from "./within.js";

/** Who asks for locks, where, and how long to try for an answer. */
export interface Asker {
  readonly server: Server;
  readonly owner: string;
  readonly timeout: number;
}

/** What the server answers about `key`, as `within`. Where no answer comes, the client looks again for who has the key. */
export const answered = <T>({ server }: Asker, key: string, ms: number, signal: AbortSignal | undefined, answer: Promise<T>): Promise<T> =>
  within(ms, signal, answer, () => server.lookAgain(key));

const OWNER_BYTES = 20;

// Fetched for many at once: that is most of what a call costs.
let random = Buffer.alloc(0);
let used = 0;

/** An owner is one piece of work, and whoever knows it may release its locks: fresh, and not to be guessed. */
export function newOwner(): string {
  if (used === random.length) {
    random = randomBytes(OWNER_BYTES * 100);
    used = 0;
  }
  used += OWNER_BYTES;
  return random.toString("base64url", used - OWNER_BYTES, used);
}
