// Measures on a server of its own: node bench.mjs
//   one worker: how long acquire + release takes, beside node-redlock 5 on the same server and client
//   16 workers on one lock, which each holds for 5 ms: how long they wait, and what a lock costs in requests
// REDIS_SERVER and REDIS_LOCK_MODULE say which server and module.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis6";
import Redlock from "redlock5";
import { createClient } from "redis6";
import { Locks } from "@redis-lock/client";

const SERVER = process.env.REDIS_SERVER || "redis-server";
const MODULE = process.env.REDIS_LOCK_MODULE ?? resolve(import.meta.dirname, "../../target/release/libredis_lock.so");
const ALONE = Number(process.env.ALONE ?? 5000);
const WORKERS = 16;
const EACH = Number(process.env.EACH ?? 40);
const HOLD_MS = 5;
const TTL_MS = 10_000;

const percentile = (times, p) => times.toSorted((a, b) => a - b)[Math.floor((times.length - 1) * p)];

// Each connects a worker: to a function that takes the lock, runs what it is given, and releases.
const CONTESTANTS = {
  "redis-lock, ioredis 6": async (port) => {
    const redis = new Redis(port, "127.0.0.1");
    const locks = new Locks(redis);
    const options = { ttl: TTL_MS, wait: "5m" };
    return { using: (name, work) => locks.using(name, options, work), close: () => redis.disconnect() };
  },
  "redis-lock, node-redis 6": async (port) => {
    const redis = await createClient({ socket: { port, host: "127.0.0.1" } }).connect();
    const locks = new Locks(redis);
    const options = { ttl: TTL_MS, wait: "5m" };
    return { using: (name, work) => locks.using(name, options, work), close: () => redis.destroy() };
  },
  "node-redlock 5, ioredis 6": async (port) => {
    const redis = new Redis(port, "127.0.0.1");
    const redlock = new Redlock([redis], { retryCount: -1 });
    return { using: (name, work) => redlock.using([name], TTL_MS, work), close: () => redis.disconnect() };
  },
};

async function startServer() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  await new Promise((closed) => probe.close(closed));
  const dir = mkdtempSync(join(tmpdir(), "redis-lock-bench-"));
  const args = ["--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--loglevel", "warning", "--loadmodule", MODULE];
  const server = spawn(SERVER, args.map(String), { stdio: ["ignore", "ignore", "inherit"] });
  const admin = new Redis({ port, host: "127.0.0.1", maxRetriesPerRequest: null });
  admin.on("error", () => {});
  await admin.ping();
  const stop = () => {
    admin.disconnect();
    server.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  };
  return { port, admin, stop };
}

// All that clients sent, what they send when they connect included (ioredis asks for INFO).
async function requestsSoFar(admin) {
  const stats = await admin.info("commandstats");
  return [...stats.matchAll(/:calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0);
}

async function alone(contestants) {
  const times = contestants.map(() => []);
  for (let i = 0; i < ALONE; i++) {
    for (const [c, { using }] of contestants.entries()) {
      const started = performance.now();
      await using("alone", () => {});
      if (i >= ALONE / 10) times[c].push(performance.now() - started);
    }
  }
  return times;
}

async function contended(connect, { port, admin }) {
  const workers = await Promise.all(Array.from({ length: WORKERS }, () => connect(port)));
  const before = await requestsSoFar(admin);
  const times = [];
  await Promise.all(
    workers.map(async ({ using }) => {
      for (let i = 0; i < EACH; i++) {
        const started = performance.now();
        await using("contended", async () => {
          times.push(performance.now() - started);
          await sleep(HOLD_MS);
        });
      }
    }),
  );
  const requests = (await requestsSoFar(admin)) - before;
  for (const { close } of workers) close();
  return { times, requests: requests / times.length };
}

const server = await startServer();
try {
  const names = Object.keys(CONTESTANTS);
  const contestants = await Promise.all(Object.values(CONTESTANTS).map((connect) => connect(server.port)));
  console.log(`acquire + release, one worker, ${ALONE} times, in turn:`);
  for (const [c, times] of (await alone(contestants)).entries()) {
    console.log(`  ${names[c].padEnd(26)} p50 ${percentile(times, 0.5).toFixed(3)} ms   p99 ${percentile(times, 0.99).toFixed(3)} ms`);
  }
  for (const { close } of contestants) close();
  console.log(`${WORKERS} workers on one lock, held for ${HOLD_MS} ms, ${EACH} times each; from asking to holding:`);
  for (const [name, connect] of Object.entries(CONTESTANTS)) {
    const { times, requests } = await contended(connect, server);
    const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
    const ratio = (p99 / p50).toFixed(2);
    console.log(`  ${name.padEnd(26)} p50 ${p50.toFixed(1)} ms   p99 ${p99.toFixed(1)} ms (${ratio} x)   ${requests.toFixed(1)} requests a lock`);
  }
} finally {
  server.stop();
}
