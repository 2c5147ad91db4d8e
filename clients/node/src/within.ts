import { MAX_MS } from "./duration.js";

/** The clock that all times here are read from: it runs evenly, whatever is done to the wall clock. */
export const now = (): number => performance.now();

/** The answer did not come in time. It may still come. */
export class NoAnswer extends Error {
  constructor(ms: number) {
    super(`no answer within ${Math.round(ms)} ms`);
  }
}

/** What `promise` gives, unless `ms` pass first (`NoAnswer`, after `late`), or the signal is aborted (its reason). */
export function within<T>(ms: number, signal: AbortSignal | undefined, promise: Promise<T>, late?: () => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let settled = false;
    const abort = (): void => settle(() => reject(signal?.reason));
    const giveUp = (): void => {
      if (!settled) late?.();
      settle(() => reject(new NoAnswer(ms)));
    };
    // After the event loop was blocked its timers come first: let it read what has arrived meanwhile.
    const timer = setTimeout(() => setImmediate(giveUp), Math.min(ms, MAX_MS));
    const settle = (tell: () => void): void => {
      settled = true;
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      tell();
    };
    promise.then(
      (value) => settle(() => resolve(value)),
      (error: unknown) => settle(() => reject(error)),
    );
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
  });
}

/** Waits about `ms` (a quarter more or less, so that a crowd does not come back at once), or until the signal. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  const jittered = ms * (0.75 + Math.random() / 2);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, jittered);
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    if (signal?.aborted) return abort();
    signal?.addEventListener("abort", abort, { once: true });
  });
}
