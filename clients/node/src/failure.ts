import { Deadlock, LockConfig, LockError, LockUnavailable } from "./errors.js";

/** What an error of the client or of the server means for the lock that was asked for. */
export function failure(what: string, error: unknown): LockError {
  if (error instanceof LockError) return error;
  const text = describe(error);
  const told = (Kind: new (message: string, options: ErrorOptions) => LockError, hint: string): LockError =>
    new Kind(`${what}: ${text}${hint && `: ${hint}`}`, { cause: error });

  if (/^DEADLOCK /.test(text)) return told(Deadlock, "release what this work holds, and begin anew");
  if (/^ERR unknown command/.test(text)) {
    return told(LockConfig, "the server lacks the module redis-lock: load it with loadmodule or MODULE LOAD");
  }
  if (/^WRONGTYPE /.test(text)) {
    return told(LockConfig, "something else than a lock is at this key: take another name, or delete that key");
  }
  if (/^NOPERM /.test(text)) return told(LockConfig, "the user of this client needs this command, and this key (ACL SETUSER)");
  if (/^CROSSSLOT /.test(text)) {
    return told(LockConfig, "in a cluster, names that are taken together need a common part in braces: {acct}:1, {acct}:2");
  }
  if (/^(NOAUTH|WRONGPASS|ERR (?!max number of clients)) ?/.test(text)) return told(LockConfig, "");
  return told(LockUnavailable, "");
}

/** Whether the server said no for sure: nothing of the request is left there. */
export function leavesNothing(error: unknown): boolean {
  return error instanceof Deadlock;
}

// What Node.js says when no address could be connected to has an empty message.
function describe(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(describe).join(", ");
  return error instanceof Error ? error.message || error.name : String(error);
}
