import { setTimeout as sleep } from "node:timers/promises";

/** Asks until the answer is true, or fails after a bound that only a fault reaches. An error is no answer yet. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const end = performance.now() + ms;
  for (;;) {
    const answer = await attempt(condition);
    if (answer === true) return;
    if (performance.now() >= end) throw new Error(`not within ${ms} ms: ${what}`, { cause: answer });
    await sleep(5);
  }
}

async function attempt(condition: () => boolean | Promise<boolean>): Promise<unknown> {
  try {
    return await condition();
  } catch (error) {
    return error;
  }
}
