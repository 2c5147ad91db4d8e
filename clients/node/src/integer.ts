import { LockUnavailable } from "./errors.js";
import { show } from "./duration.js";

/** An integer reply, however the client is set to give integers; null where the server said nil. */
export function integer(reply: unknown): number | null {
  if (reply === null) return null;
  const number = typeof reply === "string" || typeof reply === "bigint" ? Number(reply) : reply;
  if (typeof number === "number" && Number.isSafeInteger(number)) return number;
  throw new LockUnavailable(`the server answered ${show(reply)}, which is no whole number`);
}
