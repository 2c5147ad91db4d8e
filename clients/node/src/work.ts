import { Acquisition } from "./acquisition.js";
import type { Asker } from "./asker.js";
import { LockConfig } from "./errors.js";
import { Lock } from "./lock.js";
import { releaseOrWarn } from "./release.js";
import { type AcquireOptions, type Names, type Request, request } from "./request.js";

/** One owner: locks that one piece of work takes one after the other, so that the server sees a circle of waits. */
export class Work {
  readonly #asker: Asker;
  readonly #taken = new Map<string, "is being asked for" | "is held" | "was released">();

  /** @internal */
  constructor(asker: Asker) {
    this.#asker = asker;
  }

  /** Takes the lock. It is ours until it is released, or for its ttl; with `renew`, as long as this process lives. */
  async acquire(names: Names, options: AcquireOptions): Promise<Lock> {
    return this.#acquire(request(names, options));
  }

  /** Takes the lock, renews it while `task` runs, and releases it. `LockLost` if it was lost meanwhile. */
  async using<T>(names: Names, options: AcquireOptions, task: (lock: Lock) => T | PromiseLike<T>): Promise<T> {
    if (typeof task !== "function") {
      throw new LockConfig('using takes the name, the options and a function: using("report", { ttl: "30s" }, async (lock) => …)');
    }
    const wanted = { ...request(names, options), renew: options.renew ?? true };
    const lock = await this.#acquire(wanted);
    try {
      const result = await task(lock);
      // One that the task itself released is not lost.
      if (this.#taken.get(wanted.names[0]!) === "is held") lock.throwIfLost();
      return result;
    } catch (error) {
      throw isAbort(error) && lock.signal.aborted ? lock.signal.reason : error;
    } finally {
      await releaseOrWarn(lock);
    }
  }

  async #acquire(wanted: Request): Promise<Lock> {
    wanted.signal?.throwIfAborted();
    wanted.names.forEach((name) => this.#refuseTaken(name));
    this.#mark(wanted.names, "is being asked for");
    const acquisition = new Acquisition(this.#asker, wanted);
    try {
      const grant = await acquisition.run();
      this.#mark(wanted.names, "is held");
      return new Lock(this.#asker, wanted, grant, () => this.#mark(wanted.names, "was released"));
    } catch (error) {
      if (acquisition.mayHold) this.#mark(wanted.names, "was released");
      else wanted.names.forEach((name) => this.#taken.delete(name));
      throw error;
    }
  }

  // A release can be under way for longer than the answer to it, and would end what the same owner took afterwards.
  #refuseTaken(name: string): void {
    const state = this.#taken.get(name);
    if (state === undefined) return;
    const hint = state === "was released" ? "begin anew with locks.work()" : "use the lock that there is";
    throw new LockConfig(`${name} ${state} by this work: ${hint}`);
  }

  #mark(names: readonly string[], state: "is being asked for" | "is held" | "was released"): void {
    for (const name of names) this.#taken.set(name, state);
  }
}

// What Node's own functions throw when their signal is aborted, whatever its reason.
function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
