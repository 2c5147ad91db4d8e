import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Lock, LockLost, LockUnavailable } from "@redis-lock/client";
import { KINDS, NEWEST, withLocks } from "./support/clients.mjs";
import { eventually } from "./support/eventually.mjs";
import { TestServer } from "./support/server.mjs";

let server: TestServer;
before(async () => void (server = await TestServer.start()));
after(() => server.stop());

const lost = (message: RegExp) => (error: unknown) => error instanceof LockLost && message.test(error.message);

// As a computation does that never awaits.
function blockEventLoop(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

for (const kind of KINDS) {
  describe(`loss with ${kind.name}`, () => {
    test("using renews for longer than the ttl, and gives back what the work gives", () =>
      withLocks(kind, server, async (locks) => {
        const result = await locks.using("a", { ttl: 500 }, async (lock) => {
          await sleep(1200, null, { signal: lock.signal });
          lock.throwIfLost();
          assert.equal((await server.standing("a")).holders, 1);
          return "done";
        });
        assert.equal(result, "done");
        await server.untilFree("a");
      }));

    test("a lock that somebody removes is told by the signal at the next renewal, and ends using with LockLost", () =>
      withLocks(kind, server, async (locks) => {
        const started = performance.now();
        const working = locks.using("b", { ttl: 1000 }, async (lock) => {
          await server.ask("DEL", "b");
          await sleep(30_000, null, { signal: lock.signal });
        });
        await assert.rejects(working, lost(/^b is lost: the server does not have it as ours any more/));
        assert.ok(performance.now() - started < 950, "known before the ttl was over");
      }));

    test("after a blocked event loop the clock tells, though no signal could", () =>
      withLocks(kind, server, async (locks) => {
        const working = locks.using("c", { ttl: 200 }, async (lock) => {
          blockEventLoop(250);
          assert.equal(lock.signal.aborted, false);
          lock.throwIfLost();
        });
        await assert.rejects(working, lost(/^c is lost: its ttl of 200 ms ran out/));
      }));
  });
}

for (const kind of NEWEST) {
  describe(`loss, in detail, with ${kind.name}`, () => {
    test("without renew a lock ends with its ttl: by the signal, by the clock, and by remaining", () =>
      withLocks(kind, server, async (locks) => {
        const lock = await locks.acquire("d", { ttl: 150 });
        assert.ok(lock.remaining > 0 && lock.remaining <= 150);
        // Its timer keeps no program up; the client does.
        await once(lock.signal, "abort");
        assert.throws(() => lock.throwIfLost(), lost(/its ttl of 150 ms ran out/));
        assert.equal(lock.remaining, 0);
        assert.equal(await lock.release(), false);
        await assert.rejects(lock.extend(1000), LockLost);
      }));

    test("the clock is asked also where nothing else told the lock of its end", () =>
      withLocks(kind, server, async (locks) => {
        const lock = await locks.acquire("e", { ttl: 100 });
        blockEventLoop(120);
        assert.throws(() => lock.throwIfLost(), LockLost);
        assert.ok(lock.signal.reason instanceof LockLost);
      }));

    test("extend prolongs, and tells what is lost", () =>
      withLocks(kind, server, async (locks) => {
        const lock = await locks.acquire("f", { ttl: 200 });
        await lock.extend("10s");
        assert.ok(lock.remaining > 9000);
        await sleep(250);
        lock.throwIfLost();
        await lock.extend(50); // never shortens
        assert.ok(lock.remaining > 9000);
        await server.ask("DEL", "f");
        await assert.rejects(lock.extend(), lost(/^f is lost: the server does not have it/));
        assert.equal(lock.signal.aborted, true);
      }));

    test("validity counts from before the sending: a slow answer shortens it", () =>
      withLocks(kind, server, async (locks) => {
        server.freeze();
        const asking = locks.acquire("g", { ttl: 3000 });
        await sleep(500);
        server.thaw();
        const lock = await asking;
        assert.ok(lock.remaining <= 2510, `${lock.remaining} ms`);
        await lock.release();
      }));

    test("a frozen server: the signal and the clock tell when the ttl is over, not later", () =>
      withLocks(kind, server, async (locks) => {
        const lock = await locks.acquire("h", { ttl: 600, renew: true });
        server.freeze();
        try {
          await once(lock.signal, "abort");
          assert.throws(() => lock.throwIfLost(), lost(/its ttl of 600 ms ran out/));
        } finally {
          server.thaw();
        }
        assert.equal(await lock.release(), false);
        await server.untilFree("h");
        await assert.rejects(lock.extend(), LockLost); // lost is lost, also when the server answers again
      }));

    test("a release at the end of a block that gets no answer is a warning, not an error", () =>
      withLocks(
        kind,
        server,
        async (locks) => {
          const warnings: Error[] = [];
          const note = (warning: Error): number => warnings.push(warning);
          process.on("warning", note);
          try {
            await locks.using("o", { ttl: 9000 }, () => server.freeze());
            const told = (warning: Error): boolean =>
              warning instanceof LockUnavailable && /^o is not released, its ttl will end it: no answer within \d{3} ms$/.test(warning.message);
            await eventually("a warning", () => warnings.some(told));
          } finally {
            process.off("warning", note);
            server.thaw();
          }
          await server.untilFree("o");
        },
        { locks: { timeout: 300 } },
      ));

    test("a server that is restarted without its locks: told at the next renewal, though the ttl is not over", () =>
      withLocks(kind, server, async (locks) => {
        const working = locks.using("n", { ttl: 8000 }, async (lock) => {
          await server.kill();
          await server.run();
          assert.notEqual(await server.ask("LOCK.ACQUIRE", "n", "somebody", "60000"), null);
          await sleep(30_000, null, { signal: lock.signal });
        });
        await assert.rejects(working, lost(/^n is lost: the server does not have it as ours any more/));
        assert.equal((await server.standing("n")).holders, 1, "what others hold now is not released");
        await server.ask("DEL", "n");
      }));

    test("what the work throws is thrown; an AbortError of the lock's signal is LockLost", () =>
      withLocks(kind, server, async (locks) => {
        await assert.rejects(locks.using("i", { ttl: 9000 }, () => Promise.reject(new Error("its own"))), /its own/);
        await server.untilFree("i");
        const working = locks.using("i", { ttl: 150, renew: false }, async ({ signal }) => {
          await sleep(9000, null, { signal });
        });
        await assert.rejects(working, lost(/its ttl/));
        const hasty = locks.using("i", { ttl: 9000, wait: "10s" }, () => sleep(1, null, { signal: AbortSignal.timeout(0) }));
        await assert.rejects(hasty, (error) => error instanceof Error && !(error instanceof LockLost));
      }));

    test("work that ends in peace after its lock was lost is LockLost all the same", () =>
      withLocks(kind, server, (locks) =>
        assert.rejects(locks.using("j", { ttl: 100, renew: false }, () => sleep(150)), LockLost),
      ));

    test("a released lock is ours no more, and is released once", () =>
      withLocks(kind, server, async (locks) => {
        const lock: Lock = await locks.acquire("k", { ttl: 200, renew: true });
        assert.deepEqual(await Promise.all([lock.release(), lock.release()]), [true, true]);
        assert.throws(() => lock.throwIfLost(), lost(/^k was released$/));
        await assert.rejects(lock.extend(), lost(/^k was released$/));
        await sleep(300);
        assert.equal(lock.signal.aborted, false, "a release is no loss");
        assert.equal(await locks.using("k", { ttl: 9000 }, (own) => own.release()), true, "nor is one in the task itself");
      }));

    test("Symbol.asyncDispose releases", { skip: !Symbol.asyncDispose }, () =>
      withLocks(kind, server, async (locks) => {
        const lock = await locks.acquire("l", { ttl: 9000 });
        await lock[Symbol.asyncDispose]();
        await server.untilFree("l");
      }));

    test("a renewal that the server refuses for good is a loss, with what it said", async () => {
      await server.ask("ACL", "SETUSER", "worker", "on", ">secret", "~*", "+@all");
      await withLocks(
        kind,
        server,
        async (locks) => {
          const lock = await locks.acquire("m", { ttl: 1000, renew: true });
          await server.ask("ACL", "SETUSER", "worker", "-lock.extend");
          await once(lock.signal, "abort");
          assert.match(String(lock.signal.reason.message), /^m is lost: m: NOPERM/);
        },
        { username: "worker", password: "secret" },
      );
    });
  });
}
