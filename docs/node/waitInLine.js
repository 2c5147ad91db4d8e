const { end } = require("./redisLock");
const { runInTurn } = require("./waitForLock");

runInTurn("resource_lock", 10000, 60000, async (token) => console.log("Task is running under token", token))
  .catch((error) => {
    console.error("No lock:", error.message);
    process.exitCode = 1;
  })
  .finally(end);
