import { redis } from "./redis.mjs";

const describe = (hold) => `${hold.meta || hold.owner} for ${hold["held-ms"]} ms, ${hold["ttl-ms"]} ms left`;

const monitorLock = async (name) => {
  const lock = await redis.sendCommand(["LOCK.INFO", name]); // an object, thanks to RESP 3
  const holders = lock?.holders.map(describe).join("; ") || "Unlocked";
  console.log(`Lock status for ${name}: ${holders}, ${lock?.waiters.length ?? 0} waiting`);
};

const look = () => monitorLock("resource_lock").catch((error) => console.error("Not seen:", error.message));
look();
setInterval(look, Number(process.env.EVERY_MS ?? 5000));
