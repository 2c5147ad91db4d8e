// A program that has to do with a server that does not answer, and has to end all the same.
// Arguments: the kind of client, the port, what it does. It says "ready", and goes on when it is told to.
import { once } from "node:events";
import { Locks } from "@redis-lock/client";
import { KINDS } from "../support/clients.mjs";

const [, , kindName, port, what] = process.argv;
const kind = KINDS.find(({ name }) => name === kindName)!;
const { redis, close } = await kind.connect(Number(port));
const locks = new Locks(redis, { timeout: 1000 });

const goOn = async (): Promise<void> => {
  console.log("ready");
  await once(process.stdin, "data");
  process.stdin.destroy();
};

if (what === "holds") {
  const lock = await locks.acquire("mine", { ttl: 2000, renew: true });
  await goOn();
  await lock.release().catch((error: Error) => console.log(error.name));
} else if (what === "works") {
  await locks.using("mine", { ttl: 1000 }, async (lock) => {
    await goOn();
    if (!lock.signal.aborted) await once(lock.signal, "abort");
  }).catch((error: Error) => console.log(error.name));
} else if (what === "waits") {
  const waiting = locks.acquire("theirs", { ttl: 9000, wait: 1500 });
  await Promise.all([goOn(), waiting.catch((error: Error) => console.log(error.name))]);
} else if (what === "aborts") {
  const abort = new AbortController();
  const waiting = locks.acquire("theirs", { ttl: 9000, wait: "1h", signal: abort.signal });
  await Promise.all([goOn().then(() => abort.abort()), waiting.catch((error: Error) => console.log(error.name))]);
} else if (what === "asks") {
  await goOn();
  await locks.acquire("free", { ttl: 9000 }).catch((error: Error) => console.log(error.name));
} else if (what === "forgets") {
  await locks.acquire("mine", { ttl: "1h", renew: true });
  await goOn();
}
close();
