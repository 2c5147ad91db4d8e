const { setTimeout: sleep } = require("node:timers/promises");
const { client, within, isFinal, newOwner, extendLock, releaseLock } = require("./redisLock");

// The server answers before the time is up; a server that is frozen does not.
const GRACE_MS = 1000;

// One question on a connection of its own: whatever shared it would wait with it, another wait too. Closed in
// the end, it leaves no request in line.
const askInLine = async (lockKey, owner, ttlMs, waitMs) => {
  const connection = client.duplicate();
  connection.on("error", () => {}); // what is asked on it is told
  const blockMs = Math.max(1, Math.ceil(waitMs));
  try {
    const asked = connection.connect().then(() =>
      connection.sendCommand(["LOCK.ACQUIRE", lockKey, owner, String(ttlMs), "BLOCK", String(blockMs)]));
    return await within(blockMs + GRACE_MS, asked);
  } finally {
    connection.destroy();
  }
};

// The token, or null after waitMs. The server keeps the place in line; nobody overtakes. A lost reply or
// connection: ask again with the same owner, behind what may still stand there or hold.
const waitForLock = async (lockKey, owner, ttlMs, waitMs) => {
  const end = performance.now() + waitMs;
  for (let left = waitMs; left > 0; left = end - performance.now()) {
    try {
      const token = await askInLine(lockKey, owner, ttlMs, left);
      // The grant may have been on its way for a while: from here on the ttl is ours to count.
      if (token === null || (await extendLock(lockKey, owner, ttlMs))) return token;
    } catch (error) {
      if (isFinal(error)) throw error;
      console.error("Asking again:", error.message);
      await sleep(200);
    }
  }
  return null;
};

// Waits, works and gives back; `task` is not run where the lock does not come in time.
const runInTurn = async (lockKey, ttlMs, waitMs, task) => {
  const owner = newOwner();
  try {
    const token = await waitForLock(lockKey, owner, ttlMs, waitMs);
    return token === null ? console.log("Not in time.") : await task(token);
  } finally {
    // Also takes a request out of line that still stands there.
    await releaseLock(lockKey, owner).catch(() => {}); // if this fails, the ttl ends it
  }
};

module.exports = { waitForLock, runInTurn };
