const { randomBytes } = require("node:crypto");
const { setTimeout: sleep } = require("node:timers/promises");
const { createClient } = require("redis");

// Without REDIS_URL: redis://localhost:6379. Once a connection breaks, commands fail instead of being sent
// later, unawaited.
const client = createClient({ url: process.env.REDIS_URL, RESP: 3, disableOfflineQueue: true });
client.on("error", (error) => console.error("Redis:", error.message));
const connected = client.connect();
connected.catch(() => {}); // whoever sends something is told

// A promise that fails after so long, also where a frozen server never answers.
const within = (ms, promise) => {
  const timer = new AbortController();
  const late = sleep(ms, null, { signal: timer.signal }).then(() => { throw new Error("no answer"); });
  return Promise.race([promise, late]).finally(() => timer.abort());
};

// No answer within two seconds is an error: ask again, with the same owner.
const send = (...args) => within(2000, connected.then(() => client.sendCommand(args.map(String))));

// What asking again does not help against: a circle of waits, another type at the key, no module, no permission.
const isFinal = (error) =>
  /^(DEADLOCK|WRONGTYPE|NOPERM|NOAUTH|WRONGPASS|ERR (?!max number of clients))/.test(error.message);

// One piece of work is one owner: fresh, random, and the same whenever it asks again.
const newOwner = () => `worker-${process.pid}-${randomBytes(20).toString("hex")}`;

// The fencing token, a number below 2^53; or null: others hold the lock.
const acquireLock = (key, owner, ttlMs) => send("LOCK.ACQUIRE", key, owner, ttlMs);

// true: ours for at least ttlMs from when this was sent. false: no longer ours.
const extendLock = async (key, owner, ttlMs) => (await send("LOCK.EXTEND", key, owner, ttlMs)) === 1;

// false: it was no longer ours; or this was sent twice, and the first answer got lost. Never an error because it
// came late.
const releaseLock = async (key, owner) => (await send("LOCK.RELEASE", key, owner)) === 1;

// So that the program can end, whether the server answers or not.
const end = () => client.destroy();

module.exports = { client, within, send, isFinal, newOwner, acquireLock, extendLock, releaseLock, end };
