const { client, send } = require("./redisLock");

const describe = (hold) =>
  `${hold.owner} ${hold.meta} for ${hold["held-ms"]} ms, ${hold["ttl-ms"]} ms left, token ${hold.fence}`;

const monitorLock = (lockKey) =>
  setInterval(async () => {
    try {
      const lock = await send("LOCK.INFO", lockKey); // an object, thanks to RESP 3
      const holders = lock ? lock.holders.map(describe) : [];
      const waiters = lock ? lock.waiters.length : 0;
      console.log(`Lock status for ${lockKey}: ${holders.join("; ") || "Unlocked"}, ${waiters} waiting`);
    } catch (error) {
      console.error("Not seen:", error.message);
    }
  }, 5000);

const monitorEvents = async () => {
  const subscriber = client.duplicate();
  subscriber.on("error", (error) => console.error("Redis:", error.message));
  await subscriber.connect();
  await subscriber.pSubscribe("__keyevent@0__:lock.*", (lockKey, channel) =>
    console.log(channel.split(":")[1], lockKey)); // lock.acquire, lock.release, lock.extend, lock.expired
};

monitorLock("resource_lock");
monitorEvents().catch((error) => console.error("No events:", error.message));
