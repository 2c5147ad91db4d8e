import { randomBytes } from "node:crypto";
import type { Server } from "./server.js";

/** Who asks for locks, where, and how long to try for an answer. */
export interface Asker {
  readonly server: Server;
  readonly owner: string;
  readonly timeout: number;
}

/** An owner is one piece of work, and whoever knows it may release its locks: fresh, and not to be guessed. */
export const newOwner = (): string => randomBytes(20).toString("base64url");
