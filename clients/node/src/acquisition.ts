import { type Asker, answered } from "./asker.js";
import * as commands from "./commands.js";
import { LockHeld, LockUnavailable } from "./errors.js";
import { failure, leavesNothing } from "./failure.js";
import { integer } from "./integer.js";
import { Line } from "./line.js";
import { releaseInBackground } from "./release.js";
import type { Request } from "./request.js";
import { now, pause } from "./within.js";

export interface Grant {
  readonly token: number;
  /** On our own clock: counted from before the question was sent. */
  readonly validUntil: number;
}

const PAUSE_MS = 200;

/** One request for a lock, until it is granted, refused, or the time to wait is over. */
export class Acquisition {
  readonly #asker: Asker;
  readonly #request: Request;
  readonly #keys: readonly string[];
  readonly #what: string;
  #line: Line | undefined;
  #over = false;
  /** Requests that were granted, or whose answer is not known. */
  #doubts = 0;

  constructor(asker: Asker, request: Request) {
    this.#asker = asker;
    this.#request = request;
    this.#keys = request.names.map((name) => asker.server.keyPrefix + name);
    this.#what = request.names.join(", ");
  }

  /** Whether something of this request may hold, or stand in line, on the server. */
  get mayHold(): boolean {
    return this.#doubts > 0;
  }

  async run(): Promise<Grant> {
    const started = now();
    const end = started + this.#request.wait;
    // What may pass is asked again also where nobody waits: a connection broke, or the client looks for a master.
    const patience = started + Math.max(this.#request.wait, this.#asker.timeout);
    try {
      for (;;) {
        const grant = await this.#round(end, patience);
        if (grant !== undefined) return grant;
      }
    } catch (error) {
      this.#over = true;
      if (this.mayHold) releaseInBackground(this.#asker, this.#keys, this.#request.ttl);
      throw error;
    } finally {
      this.#line?.close();
    }
  }

  // Asks without waiting first: that costs no connection, and overtakes nobody. After a turn in line the same
  // question makes the hold one that outlives the line's connection, and tells from when on the ttl counts.
  async #round(end: number, patience: number): Promise<Grant | undefined> {
    try {
      const grant = await this.#ask();
      if (grant !== null) return grant;
      if (now() >= end || !(await this.#standInLine(end))) throw this.#held();
      return undefined;
    } catch (error) {
      if (this.#request.signal?.aborted) throw this.#request.signal.reason;
      const told = failure(this.#what, error);
      if (!(told instanceof LockUnavailable) || now() >= patience || this.#asker.server.closed()) throw told;
      await this.#pause(patience);
      return undefined;
    }
  }

  async #pause(end: number): Promise<void> {
    this.#line?.close();
    this.#line = undefined;
    await pause(Math.max(0, Math.min(PAUSE_MS, end - now())), this.#request.signal);
  }

  async #ask(): Promise<Grant | null> {
    const { ttl, options, signal } = this.#request;
    const { server, owner, timeout } = this.#asker;
    if (server.closed()) {
      throw new LockUnavailable(`${this.#what}: the client is not connected: connect it first, and close it last`);
    }
    const sent = now();
    const command = commands.acquire(this.#keys, owner, ttl, options);
    const answer = this.#uncertain(() => server.send(this.#keys[0]!, command));
    const token = await answered(this.#asker, this.#keys[0]!, Math.min(timeout, ttl), signal, answer);
    if (token === null) return null;
    const validUntil = sent + ttl;
    if (now() < validUntil) return { token, validUntil };
    throw new LockUnavailable(`${this.#what}: granted, but the answer took longer than the ttl of ${ttl} ms: take a longer one`);
  }

  async #standInLine(end: number): Promise<boolean> {
    if (this.#line !== undefined) await this.#pause(end); // what it gave was lost again at once
    this.#line = new Line(this.#asker, this.#request, this.#keys);
    return this.#line.stand(end, (send) => this.#uncertain(send));
  }

  // Until its answer is there, nobody knows whether a request arrived.
  async #uncertain(send: () => Promise<unknown>): Promise<number | null> {
    this.#doubts++;
    try {
      const token = integer(await send());
      if (token === null) this.#doubts--;
      else if (this.#over) releaseInBackground(this.#asker, this.#keys, this.#request.ttl); // it came too late
      return token;
    } catch (error) {
      if (leavesNothing(failure(this.#what, error))) this.#doubts--;
      throw error;
    }
  }

  #held(): LockHeld {
    const { wait } = this.#request;
    const asked = wait === 0 ? "asked once; with the option wait it stands in line" : `waited ${wait} ms`;
    return new LockHeld(`${this.#what}: others hold it, or stand before us in line (${asked})`);
  }
}
