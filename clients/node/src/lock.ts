import type { Grant } from "./acquisition.js";
import { type Asker, answered } from "./asker.js";
import * as commands from "./commands.js";
import { type Duration, milliseconds } from "./duration.js";
import { LockLost, LockUnavailable } from "./errors.js";
import { failure } from "./failure.js";
import { integer } from "./integer.js";
import { release, releaseInBackground, releaseOrWarn } from "./release.js";
import type { Request } from "./request.js";
import { now } from "./within.js";

const PAUSE_MS = 200;

/** A lock that is held, until it is released or lost. */
export class Lock implements AsyncDisposable {
  readonly names: readonly string[];
  /** The fencing token: higher than all that this server granted before. */
  readonly token: number;

  readonly #asker: Asker;
  readonly #keys: readonly string[];
  readonly #ttl: number;
  readonly #onRelease: () => void;
  #loss: LockLost | undefined;
  /** Made when somebody asks for the signal: most locks are released before anybody does. */
  #told: AbortController | undefined;
  #validUntil: number;
  #end: NodeJS.Timeout | undefined;
  #renewal: NodeJS.Timeout | undefined;
  #released: Promise<boolean> | undefined;

  /** @internal */
  constructor(asker: Asker, request: Request, grant: Grant, onRelease: () => void) {
    this.names = request.names;
    this.token = grant.token;
    this.#asker = asker;
    this.#keys = request.names.map((name) => asker.server.keyPrefix + name);
    this.#ttl = request.ttl;
    this.#onRelease = onRelease;
    this.#validUntil = grant.validUntil;
    if (request.renew) this.#renewIn(this.#ttl / 2);
    else this.#watch();
  }

  /** Aborted as soon as the lock is known to be lost, with a `LockLost` as its reason. Hand it to the work. */
  get signal(): AbortSignal {
    this.#told ??= new AbortController();
    if (this.#loss !== undefined) this.#told.abort(this.#loss);
    return this.#told.signal;
  }

  /** How many milliseconds the lock is ours for certain, from now. */
  get remaining(): number {
    return this.#isOver ? 0 : Math.max(0, this.#validUntil - now());
  }

  /**
   * Throws `LockLost` unless the lock is held. Reads the clock: it is right also after the event loop was blocked, when
   * no signal could be given yet. Call it before each step that must not happen without the lock.
   */
  throwIfLost(): void {
    if (this.#released !== undefined) throw new LockLost(`${this.#what} was released`);
    if (now() >= this.#validUntil) this.#ranOut();
    if (this.#loss !== undefined) throw this.#loss;
  }

  /** Makes the lock last for at least `ttl` from now. `LockLost` if it is ours no more. */
  async extend(ttl: Duration = this.#ttl): Promise<void> {
    const ms = milliseconds("ttl", ttl, 1);
    this.throwIfLost();
    try {
      await this.#answered(Math.min(this.#asker.timeout, this.remaining), this.signal, this.#extend(ms));
    } catch (error) {
      this.throwIfLost();
      throw failure(this.#what, error);
    }
    this.throwIfLost();
  }

  /**
   * Gives the lock back. Whether the server had it as ours: false is no sign of a loss, for a client that asks twice by
   * itself gets the second answer. `LockUnavailable` if there is no answer in time: then its ttl ends it.
   */
  release(): Promise<boolean> {
    this.#released ??= this.#release();
    return this.#released;
  }

  /** Releases. What fails there is a warning of the process, not thrown over what the block threw: the ttl ends the lock. */
  [Symbol.asyncDispose](): Promise<void> {
    return releaseOrWarn(this);
  }

  get #isOver(): boolean {
    return this.#released !== undefined || this.#loss !== undefined;
  }

  get #what(): string {
    return this.names.join(", ");
  }

  async #release(): Promise<boolean> {
    this.#stop();
    this.#onRelease();
    if (this.#loss !== undefined) {
      releaseInBackground(this.#asker, this.#keys, this.#ttl);
      return false;
    }
    return (await release(this.#asker, this.#keys, this.#asker.timeout)) === this.#keys.length;
  }

  #answered(ms: number, signal: AbortSignal | undefined, answer: Promise<void>): Promise<void> {
    return answered(this.#asker, this.#keys[0]!, ms, signal, answer);
  }

  async #extend(ttl: number): Promise<void> {
    const sent = now();
    const answer = integer(await this.#asker.server.send(this.#keys[0]!, commands.extend(this.#keys, this.#asker.owner, ttl)));
    if (this.#isOver) return;
    if (answer !== 1) return this.#lose("the server does not have it as ours any more: it expired there, or was removed");
    if (now() >= this.#validUntil) return this.#ranOut();
    this.#validUntil = Math.max(this.#validUntil, sent + ttl);
    this.#watch();
  }

  #renewIn(ms: number): void {
    this.#renewal = setTimeout(() => void this.#renew(), ms).unref();
  }

  // A renewal that is not answered leaves time for another, perhaps at another server.
  async #renew(): Promise<void> {
    this.#watch();
    let next = this.#ttl / 2;
    try {
      await this.#answered(Math.min(this.#asker.timeout, this.#ttl / 8), undefined, this.#extend(this.#ttl));
    } catch (error) {
      const told = failure(this.#what, error);
      if (!(told instanceof LockUnavailable)) this.#lose(told.message, told);
      next = Math.min(PAUSE_MS, this.#ttl / 10);
    }
    if (!this.#isOver) this.#renewIn(next);
  }

  // The timer may come a little early, and then looks again. A lock that is renewed needs none before its first renewal.
  #watch(): void {
    clearTimeout(this.#end);
    const left = this.#validUntil - now();
    this.#end = setTimeout(() => (now() >= this.#validUntil ? this.#ranOut() : this.#watch()), left).unref();
  }

  #ranOut(): void {
    this.#lose(`its ttl of ${this.#ttl} ms ran out`);
  }

  #lose(why: string, cause?: unknown): void {
    if (this.#loss !== undefined) return;
    this.#stop();
    this.#loss = new LockLost(`${this.#what} is lost: ${why}`, { cause });
    this.#told?.abort(this.#loss);
  }

  #stop(): void {
    clearTimeout(this.#end);
    clearTimeout(this.#renewal);
  }
}
