const { client, newOwner, acquireLock, releaseLock, end } = require("./redisLock");

const writeScript = `
  redis.call('LOCK.CHECK', KEYS[1], ARGV[1])
  return redis.call('SET', KEYS[2], ARGV[2])`;

// In a cluster both keys must be in one slot: the part in braces decides.
const fencedWrite = (lockKey, token, key, value) =>
  client.eval(writeScript, { keys: [lockKey, key], arguments: [String(token), value] });

const main = async () => {
  const owner = newOwner();
  const token = await acquireLock("{report}", owner, 10000);
  if (token === null) return console.log("Resource is locked, try again later.");
  console.log(await fencedWrite("{report}", token, "{report}:body", "first"));
  await releaseLock("{report}", owner);
  // As a holder would that slept past its ttl:
  await fencedWrite("{report}", token, "{report}:body", "too late").catch((error) => console.log(error.message));
};

main()
  .catch((error) => {
    console.error("No lock:", error.message);
    process.exitCode = 1;
  })
  .finally(end);
