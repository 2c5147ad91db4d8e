const { extendLock, isFinal } = require("./redisLock");

// Renews at a third of the ttl, so that one failed renewal leaves time for another. `signal` is aborted as
// soon as the lock is gone or no longer certain: hand it to the work. Timers wait while the program computes:
// `throwIfLost` reads the clock, so call it before each step that counts. `sentAt`: performance.now() from
// before the lock was acquired. Call stop() before you release.
const keepLock = (lockKey, owner, ttlMs, sentAt) => {
  const lost = new AbortController();
  let stopped = false;
  let validUntil = sentAt + ttlMs;
  let end;
  const stop = () => {
    stopped = true;
    clearInterval(renewal);
    clearTimeout(end);
  };
  const lose = (why) => {
    stop();
    lost.abort(new Error(`${lockKey}: ${why}`));
  };
  const validFrom = (sent) => {
    validUntil = sent + ttlMs;
    clearTimeout(end);
    end = setTimeout(lose, validUntil - performance.now(), "not renewed in time");
  };
  const throwIfLost = () => {
    if (!stopped && performance.now() >= validUntil) lose("not renewed in time");
    lost.signal.throwIfAborted();
  };

  const renewal = setInterval(async () => {
    const sent = performance.now();
    try {
      const ours = await extendLock(lockKey, owner, ttlMs);
      if (stopped) return;
      if (!ours) return lose("no longer ours");
      if (performance.now() >= validUntil) return lose("not renewed in time");
      validFrom(sent);
    } catch (error) {
      if (stopped) return;
      if (isFinal(error)) return lose(error.message);
      console.error("Renewal failed, trying again:", error.message); // `end` fires in time
    }
  }, ttlMs / 3);
  validFrom(sentAt);
  return { signal: lost.signal, throwIfLost, stop };
};

module.exports = { keepLock };
