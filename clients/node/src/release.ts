import { type Asker, answered } from "./asker.js";
import * as commands from "./commands.js";
import { LockUnavailable } from "./errors.js";
import { failure } from "./failure.js";
import { integer } from "./integer.js";
import { now, pause } from "./within.js";

const PAUSE_MS = 100;

/** How many of the keys this released. Asked again where no answer can be had, while `ms` leave time for another. */
export async function release(asker: Asker, keys: readonly string[], ms: number): Promise<number> {
  const { server, owner } = asker;
  const end = now() + ms;
  for (;;) {
    try {
      const answer = server.send(keys[0]!, commands.release(keys, owner));
      return integer(await answered(asker, keys[0]!, end - now(), undefined, answer)) ?? 0;
    } catch (error) {
      const told = failure(`${keys.join(", ")} is not released, its ttl will end it`, error);
      if (!(told instanceof LockUnavailable) || server.closed() || end - now() < 2 * PAUSE_MS) throw told;
      await pause(PAUSE_MS);
    }
  }
}

/** At the end of a block: a failure is a warning, not thrown over what the block did. The ttl ends the lock. */
export async function releaseOrWarn(lock: { release(): Promise<boolean> }): Promise<void> {
  await lock.release().catch((error: Error) => process.emitWarning(error));
}

/** The same for what may hold or stand in line without anybody's need, until its ttl would end it. Keeps no program up. */
export function releaseInBackground({ server, owner }: Asker, keys: readonly string[], ttl: number): void {
  const end = now() + ttl;
  const again = (error: unknown): void => {
    if (failure("", error) instanceof LockUnavailable && now() < end) setTimeout(attempt, PAUSE_MS).unref();
  };
  const attempt = (): void => {
    if (!server.closed()) server.send(keys[0]!, commands.release(keys, owner)).catch(again);
  };
  attempt();
}
