import { hostname } from "node:os";
import { locks, redis } from "./redis.mjs";

// Ctrl-C ends the wait, and leaves the line.
const stop = new AbortController();
process.once("SIGINT", () => stop.abort(new Error("stopped while waiting")));

try {
  const options = { ttl: "10s", wait: "1m", signal: stop.signal, meta: `${hostname()}, process ${process.pid}` };
  await locks.using("resource_lock", options, async (lock) => {
    console.log("Task is running under token", lock.token);
  });
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  redis.destroy();
}
