import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Locks, type LocksOptions, LockUnavailable } from "@redis-lock/client";
import { IOREDIS, type Kind, KINDS, NEWEST, POOLS, withLocks } from "./support/clients.mjs";
import { eventually } from "./support/eventually.mjs";
import { Program } from "./support/program.mjs";
import { Proxy } from "./support/proxy.mjs";
import { type Settings, TestServer } from "./support/server.mjs";

const DURABLE = ["--appendonly", "yes", "--appendfsync", "always"];

async function withServer(run: (server: TestServer) => Promise<void>, settings: Settings = {}): Promise<void> {
  const server = await TestServer.start(settings);
  try {
    await run(server);
  } finally {
    await server.stop();
  }
}

async function throughProxy(
  kind: Kind,
  run: (locks: Locks, proxy: Proxy, server: TestServer) => Promise<void>,
  options: LocksOptions = {},
): Promise<void> {
  await withServer(async (server) => {
    const proxy = await Proxy.start(server.port);
    const { redis, close } = await kind.connect(proxy.port);
    try {
      await run(new Locks(redis, options), proxy, server);
    } finally {
      close();
      proxy.stop();
    }
  });
}

// What the program does when its server freezes or dies, and what it is told.
const ENDS = {
  holds: "LockUnavailable",
  works: "LockLost",
  waits: "LockUnavailable",
  aborts: "AbortError",
  asks: "LockUnavailable",
  forgets: "",
};

async function ends(kind: Kind, server: TestServer, fault: "freeze" | "kill", what: string, told: string): Promise<void> {
  await server.ask("LOCK.ACQUIRE", "theirs", "somebody", "600000");
  const program = Program.own("hang.mjs", kind.name, String(server.port), what);
  try {
    await program.says("ready");
    if (what === "waits" || what === "aborts") await server.untilWaiting("theirs", 1);
    await server[fault]();
    program.tell("go on");
    assert.equal(await program.ends(10_000), 0, program.output);
    assert.equal(program.output.replace("ready\n", "").trim(), told, what);
  } finally {
    await program.kill();
  }
}

for (const kind of KINDS) {
  describe(`faults with ${kind.name}`, () => {
    test("a server that is killed and restarted: the holder goes on, who waits asks again", () =>
      withServer(
        (server) =>
          withLocks(kind, server, async (locks) => {
            const holder = await locks.acquire("a", { ttl: 5000, renew: true });
            const waiting = locks.acquire("a", { ttl: 9000, wait: "30s" });
            await server.untilWaiting("a", 1);
            await server.kill();
            await server.run();
            await server.untilWaiting("a", 1);
            holder.throwIfLost();
            await holder.release();
            const next = await waiting;
            assert.ok(next.token > holder.token);
            await next.release();
            await server.untilFree("a");
          }),
        { args: DURABLE },
      ));

    test("a server that stays away is LockUnavailable when the wait is over", () =>
      withServer((server) =>
        withLocks(
          kind,
          server,
          async (locks) => {
            await server.ask("LOCK.ACQUIRE", "b", "somebody", "60000");
            const started = performance.now();
            const waiting = locks.acquire("b", { ttl: 9000, wait: 1500 });
            await server.untilWaiting("b", 1);
            await server.kill();
            await assert.rejects(waiting, (error) => error instanceof LockUnavailable && /^b: .+/.test(error.message));
            const took = performance.now() - started;
            assert.ok(took >= 1400 && took < 4000, `${took} ms`);
          },
          { locks: { timeout: 500 } },
        ),
      ));

    test("a frozen server: LockUnavailable in time, and nothing is left when it goes on", () =>
      withServer((server) =>
        withLocks(
          kind,
          server,
          async (locks) => {
            const holder = await locks.acquire("c:held", { ttl: "30s" });
            const waiting = locks.acquire("c:held", { ttl: "30s", wait: 1000 });
            const failed = assert.rejects(waiting, LockUnavailable);
            await server.untilWaiting("c:held", 1);
            server.freeze();
            await assert.rejects(locks.acquire("c:free", { ttl: "30s" }), (error) => {
              assert.ok(error instanceof LockUnavailable);
              assert.match(error.message, /^c:free: no answer within 500 ms$/);
              return true;
            });
            await failed;
            server.thaw();
            await server.untilFree("c:free", 5000);
            assert.deepEqual(await server.standing("c:held"), { holders: 1, waiters: 0 });
            await holder.release();
            await server.untilFree("c:held", 5000);
          },
          { locks: { timeout: 500 } },
        ),
      ));

    test("a RELEASE whose answer is lost is asked again: 0 is then no loss", () =>
      throughProxy(kind, async (locks, proxy, server) => {
        const broken = proxy.loseAnswerTo("LOCK.RELEASE");
        assert.equal(await locks.using("d", { ttl: "30s" }, () => "done"), "done");
        await broken;
        await server.untilFree("d");
        const again = proxy.loseAnswerTo("LOCK.RELEASE");
        const lock = await locks.acquire("d", { ttl: "30s" });
        assert.equal(await lock.release(), false);
        await again;
        assert.equal(lock.signal.aborted, false);
      }));

    test("an ACQUIRE whose answer is lost is asked again by the same owner: one hold, one token", () =>
      throughProxy(kind, async (locks, proxy, server) => {
        const broken = proxy.loseAnswerTo("LOCK.ACQUIRE");
        const lock = await locks.acquire("e", { ttl: "30s" });
        await broken;
        const { holders } = await server.ask<{ holders: { fence: number }[] }>("LOCK.INFO", "e");
        assert.deepEqual(holders.map(({ fence }) => fence), [lock.token]);
        await lock.release();
        await server.untilFree("e");
      }));

    test("an ACQUIRE whose answer is lost for good leaves no lock behind once there is a connection again", () =>
      throughProxy(
        kind,
        async (locks, proxy, server) => {
          const broken = proxy.loseAnswerTo("LOCK.ACQUIRE").then(() => (proxy.refuses = true));
          await assert.rejects(locks.acquire("n", { ttl: "10m" }), LockUnavailable);
          await broken;
          assert.equal((await server.standing("n")).holders, 1);
          proxy.refuses = false;
          await server.untilFree("n");
        },
        { timeout: 300 },
      ));

    test("a place in line whose connection breaks is taken again", () =>
      throughProxy(kind, async (locks, _proxy, server) => {
        const holder = await locks.acquire("f", { ttl: "30s" });
        const waiting = locks.acquire("f", { ttl: "30s", wait: "30s" });
        await server.untilWaiting("f", 1);
        const { waiters } = await server.ask<{ waiters: [{ client: number }] }>("LOCK.INFO", "f");
        await server.ask("CLIENT", "KILL", "ID", String(waiters[0].client));
        await eventually("it stands in line again", async () => {
          const now = await server.ask<{ waiters: { client: number }[] }>("LOCK.INFO", "f");
          return now.waiters.length === 1 && now.waiters[0]!.client !== waiters[0].client;
        });
        await holder.release();
        await (await waiting).release();
      }));

    test("a frozen server does not keep a program from ending, whatever it was doing", async () => {
      await Promise.all(Object.entries(ENDS).map(([what, told]) => withServer((server) => ends(kind, server, "freeze", what, told))));
    });
  });
}

for (const kind of NEWEST) {
  describe(`faults, in detail, with ${kind.name}`, () => {
    test("a killed server does not keep a program from ending either, whatever it was doing", async () => {
      await Promise.all(Object.entries(ENDS).map(([what, told]) => withServer((server) => ends(kind, server, "kill", what, told))));
    });

    test("an abort at any moment leaves nothing: not of a lock that is free, nor of one that is held", () =>
      withServer((server) =>
        withLocks(kind, server, async (locks) => {
          const holder = await locks.acquire("g:held", { ttl: "10m" });
          const connections = await server.connections();
          for (let i = 0; i < 150; i++) {
            const abort = new AbortController();
            const options = { ttl: "10m", wait: "10m", signal: abort.signal };
            const outcomes = Promise.allSettled([locks.acquire("g:held", options), locks.acquire(["g:1", "g:2"], options)]);
            const moment = performance.now() + i / 20;
            while (performance.now() < moment) await new Promise(setImmediate);
            abort.abort();
            const [held, free] = await outcomes;
            assert.equal(held.status, "rejected");
            if (free.status === "fulfilled") await free.value.release();
          }
          await server.untilWaiting("g:held", 0);
          await server.untilFree("g:1");
          await server.untilFree("g:2");
          await eventually("the connections are closed", async () => (await server.connections()) === connections);
          await holder.release();
        }),
      ));

    test("an event loop that is blocked past the ttl while the grant comes: the lock that is given is valid", () =>
      withServer((server) =>
        withLocks(kind, server, async (locks) => {
          await server.ask("LOCK.ACQUIRE", "h", "somebody", "200");
          const waiting = locks.acquire("h", { ttl: 300, wait: "20s" });
          await server.untilWaiting("h", 1);
          const end = performance.now() + 800;
          while (performance.now() < end);
          const lock = await waiting;
          assert.ok(lock.remaining > 150, `${lock.remaining} ms`);
          assert.deepEqual(await server.standing("h"), { holders: 1, waiters: 0 });
          await lock.release();
        }),
      ));

    test("a process that is killed: its place in line is gone at once, its lock with the ttl", () =>
      withServer((server) =>
        withLocks(kind, server, async (locks) => {
          await server.ask("LOCK.ACQUIRE", "theirs", "somebody", "600000");
          const [waits, holds] = ["aborts", "holds"].map((what) => Program.own("hang.mjs", kind.name, String(server.port), what));
          try {
            await server.untilWaiting("theirs", 1);
            await holds!.says("ready");
            await waits!.kill();
            await server.untilWaiting("theirs", 0);
            const next = locks.acquire("mine", { ttl: 9000, wait: "20s" });
            await server.untilWaiting("mine", 1);
            await holds!.kill();
            await (await next).release();
          } finally {
            await waits!.kill();
            await holds!.kill();
          }
        }),
      ));

    test("a grant that a killed process never read is free at once, not after its ttl", () =>
      withServer(async (server) => {
        await server.ask("LOCK.ACQUIRE", "theirs", "somebody", "600000");
        const program = Program.own("hang.mjs", kind.name, String(server.port), "aborts");
        try {
          await server.untilWaiting("theirs", 1);
          program.signal("SIGSTOP");
          await server.ask("LOCK.RELEASE", "theirs", "somebody");
          assert.equal((await server.standing("theirs")).holders, 1);
        } finally {
          await program.kill();
        }
        await server.untilFree("theirs", 3000);
      }));

    test("a renewal whose answer is lost is tried again while there is time", () =>
      throughProxy(kind, async (locks, proxy) => {
        const lock = await locks.acquire("o", { ttl: 1500, renew: true });
        await proxy.loseAnswerTo("LOCK.EXTEND");
        await sleep(1600);
        lock.throwIfLost();
        assert.equal(await lock.release(), true);
      }));

    test("a cooldown is waited for, and is LockUnavailable where nobody waits", () =>
      withServer(
        (server) =>
          withLocks(
            kind,
            server,
            async (locks) => {
              const refused = (error: unknown): boolean => error instanceof LockUnavailable && /COOLDOWN/.test(error.message);
              await assert.rejects(locks.acquire("i", { ttl: 500 }), refused);
              await (await locks.acquire("i", { ttl: 500, wait: "20s" })).release();
            },
            { locks: { timeout: 300 } },
          ),
        { args: ["--lock.cooldown", "1500"] },
      ));

    test("a client that is closed is told at once", () =>
      withServer(async (server) => {
        const { redis, close } = await kind.connect(server.port);
        const locks = new Locks(redis);
        close();
        await sleep(50);
        await assert.rejects(locks.acquire("j", { ttl: 9000, wait: "1m" }), (error) => error instanceof LockUnavailable && /not connected/.test(error.message));
      }));
  });
}

test("a request that the network kept back until after its release is released when its late answer comes", () =>
  throughProxy(
    POOLS.at(-1)!,
    async (locks, proxy, server) => {
      let letGo = (): void => {};
      proxy.keepBack("LOCK.ACQUIRE", new Promise((resolve) => (letGo = resolve)));
      await assert.rejects(locks.acquire("k", { ttl: "10m" }), LockUnavailable);
      await eventually("its release went another way", async () => (await server.ask<string>("INFO", "commandstats")).includes("lock.release"));
      letGo();
      await eventually("the late request was carried out", async () => (await server.ask<string>("INFO", "commandstats")).includes("lock.acquire"));
      await server.untilFree("k");
    },
    { timeout: 300 },
  ));

test("an event loop that is blocked for longer than the time limit reads what has come meanwhile", () =>
  withServer((server) =>
    withLocks(
      NEWEST[0]!,
      server,
      async (locks) => {
        const asking = locks.acquire("l", { ttl: "30s" });
        await new Promise(setImmediate);
        const end = performance.now() + 500;
        while (performance.now() < end);
        await (await asking).release();
        const stats = await server.ask<string>("INFO", "commandstats");
        assert.match(stats, /cmdstat_lock\.acquire:calls=1,/);
      },
      { locks: { timeout: 300 } },
    ),
  ));

test("a wait is in the database that ioredis was switched to", () =>
  withServer((server) =>
    withLocks(IOREDIS.at(-2)!, server, async (locks, redis) => {
      await (redis as unknown as { select(db: number): Promise<unknown> }).select(3);
      const holder = await locks.acquire("m", { ttl: "30s" });
      const waiting = locks.acquire("m", { ttl: "30s", wait: "20s" });
      await eventually("it waits", async () => (await server.ask<string>("INFO", "lock")).includes("lock_waiting:1"));
      await holder.release();
      await (await waiting).release();
    }),
  ));
