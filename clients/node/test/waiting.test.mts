import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Deadlock, type Lock, LockConfig, LockHeld } from "@redis-lock/client";
import { KINDS, NEWEST, POOLS, withLocks } from "./support/clients.mjs";
import { eventually } from "./support/eventually.mjs";
import { TestServer } from "./support/server.mjs";

let server: TestServer;
before(async () => void (server = await TestServer.start()));
after(() => server.stop());

for (const kind of [...KINDS, ...POOLS]) {
  describe(`waiting with ${kind.name}`, () => {
    test("who waits is served in the order of arrival", () =>
      withLocks(kind, server, async (locks) => {
        const first = await locks.acquire("a", { ttl: 9000 });
        const served: number[] = [];
        const waits: Promise<void>[] = [];
        for (let i = 0; i < 5; i++) {
          waits.push(locks.using("a", { ttl: 9000, wait: "20s" }, async () => void served.push(i)));
          await server.untilWaiting("a", i + 1);
        }
        await first.release();
        await Promise.all(waits);
        assert.deepEqual(served, [0, 1, 2, 3, 4]);
      }));

    test("a wait outlives the client's own time limits", () =>
      withLocks(
        kind,
        server,
        async (locks) => {
          const holder = await server.ask<number>("LOCK.ACQUIRE", "b", "somebody", "1200");
          const waiting = locks.acquire("b", { ttl: 9000, wait: "20s" });
          await eventually("its place is older than the limit", async () => {
            const { waiters } = await server.ask<{ waiters: { "waiting-ms": number }[] }>("LOCK.INFO", "b");
            return waiters[0]!["waiting-ms"] > 600;
          }, 1100);
          const lock = await waiting;
          assert.ok(lock.token > holder);
          await lock.release();
        },
        { timeout: 300 },
      ));

    test("a wait whose time is over is LockHeld, and leaves nothing behind", () =>
      withLocks(kind, server, async (locks) => {
        await locks.using("c", { ttl: 9000 }, async () => {
          const connections = await server.connections();
          const started = performance.now();
          await assert.rejects(locks.acquire("c", { ttl: 9000, wait: 150 }), LockHeld);
          assert.ok(performance.now() - started >= 149, "it was over early");
          await eventually("its connection is closed", async () => (await server.connections()) === connections);
        });
        await server.untilFree("c");
      }));

    test("a wait that is aborted ends at once, with the signal's reason, and leaves no ghost in line", () =>
      withLocks(kind, server, async (locks) => {
        const holder = await locks.acquire("d", { ttl: "30s" });
        const connections = await server.connections();
        const reason = new Error("no longer wanted");
        const abort = new AbortController();
        const waiting = locks.acquire("d", { ttl: "30s", wait: "30s", signal: abort.signal });
        await server.untilWaiting("d", 1);
        abort.abort(reason);
        await assert.rejects(waiting, (error) => error === reason);
        await server.untilWaiting("d", 0);
        await eventually("its connection is closed", async () => (await server.connections()) === connections);
        await holder.release();
        await server.untilFree("d");
      }));

    test("two waits at once never wait for each other", () =>
      withLocks(kind, server, async (locks) => {
        const [one, other] = [await locks.acquire("e:1", { ttl: "30s" }), await locks.acquire("e:2", { ttl: "30s" })];
        const waitOne = locks.acquire("e:1", { ttl: "30s", wait: "30s" });
        await server.untilWaiting("e:1", 1);
        const waitOther = locks.acquire("e:2", { ttl: "30s", wait: "30s" });
        await server.untilWaiting("e:2", 1);
        await other.release();
        await (await waitOther).release();
        assert.equal((await server.standing("e:1")).waiters, 1);
        await one.release();
        await (await waitOne).release();
      }));

    test("50 waits at once, each served once, nothing left", () =>
      withLocks(kind, server, async (locks) => {
        let inside = 0;
        const tokens: number[] = [];
        await Promise.all(
          Array.from({ length: 50 }, () =>
            locks.using("f", { ttl: 9000, wait: "30s" }, async (lock) => {
              assert.equal(++inside, 1, "two at once");
              tokens.push(lock.token);
              await sleep(1);
              inside--;
            }),
          ),
        );
        assert.deepEqual(tokens, [...tokens].sort((a, b) => a - b));
        assert.equal(new Set(tokens).size, 50);
        await server.untilFree("f");
      }));

    test("several names are waited for, in one order for all, and come under one token", () =>
      withLocks(kind, server, async (locks) => {
        const inside = new Set<string>();
        const transfer = (from: string, to: string): Promise<void> =>
          locks.using([from, to], { ttl: 9000, wait: "30s" }, async (lock) => {
            for (const name of lock.names) assert.ok(!inside.has(name), `two hold ${name}`);
            lock.names.forEach((name) => inside.add(name));
            const [a, b] = await Promise.all(lock.names.map((name) => server.ask<{ fence: number }>("LOCK.INFO", name)));
            assert.equal(a!.fence, lock.token);
            assert.equal(b!.fence, lock.token);
            lock.names.forEach((name) => inside.delete(name));
          });
        const accounts = ["g:1", "g:2", "g:3"];
        const pairs = accounts.flatMap((from) => accounts.filter((to) => to !== from).map((to) => [from, to] as const));
        await Promise.all([...pairs, ...pairs].map(([from, to]) => transfer(from, to)));
        for (const account of accounts) await server.untilFree(account);
      }));

    test("several names whose wait is over leave nothing behind, those that were granted too", () =>
      withLocks(kind, server, async (locks) => {
        const last = await locks.acquire("h:2", { ttl: 9000 });
        await assert.rejects(locks.acquire(["h:1", "h:2"], { ttl: 9000, wait: 100 }), LockHeld);
        await server.untilFree("h:1");
        assert.deepEqual(await server.standing("h:2"), { holders: 1, waiters: 0 });
        await last.release();
      }));

    test("a circle of waits is Deadlock, at once", () =>
      withLocks(kind, server, async (locks) => {
        const [one, other] = [locks.work(), locks.work()];
        const [a, b] = [await one.acquire("i:a", { ttl: "30s" }), await other.acquire("i:b", { ttl: "30s" })];
        const waiting = one.acquire("i:b", { ttl: "30s", wait: "30s" });
        await server.untilWaiting("i:b", 1);
        await assert.rejects(other.acquire("i:a", { ttl: "30s", wait: "30s" }), (error) => {
          assert.ok(error instanceof Deadlock);
          assert.match(error.message, /^i:a: DEADLOCK waiting would close a circle of 2 locks: release what this work holds/);
          return true;
        });
        await b.release();
        await (await waiting).release();
        await a.release();
      }));
  });
}

for (const kind of NEWEST) {
  describe(`waiting, in detail, with ${kind.name}`, () => {
    test("the ttl counts from after the wait, and outlives the line's connection", () =>
      withLocks(kind, server, async (locks) => {
        await server.ask("LOCK.ACQUIRE", "j", "somebody", "400");
        const connections = await server.connections();
        const lock = await locks.acquire("j", { ttl: 2000, wait: "20s" });
        assert.ok(lock.remaining > 1500, `${lock.remaining} ms are left of 2000`);
        await eventually("the line's connection is closed", async () => (await server.connections()) === connections);
        const { holders } = await server.ask<{ holders: [{ session: number }] }>("LOCK.INFO", "j");
        assert.equal(holders[0].session, 0);
        lock.throwIfLost();
        await lock.release();
      }));

    test("names that came first last until the rest has come", () =>
      withLocks(kind, server, async (locks) => {
        const last = await locks.acquire("k:2", { ttl: "30s" });
        const waiting = locks.acquire(["k:1", "k:2"], { ttl: 300, wait: "30s" });
        await server.untilWaiting("k:2", 1);
        await sleep(900); // three times the ttl
        await assert.rejects(locks.acquire("k:1", { ttl: 300 }), LockHeld);
        await last.release();
        await (await waiting).release();
      }));

    test("one work takes no name twice: what is asked for, held or released is told", () =>
      withLocks(kind, server, async (locks) => {
        const work = locks.work();
        const refused = (message: RegExp) => (error: unknown) => error instanceof LockConfig && message.test(error.message);
        const first = work.acquire("l", { ttl: 9000 });
        await assert.rejects(work.acquire("l", { ttl: 9000 }), refused(/^l is being asked for by this work/));
        const lock = await first;
        await assert.rejects(work.acquire(["l", "m"], { ttl: 9000 }), refused(/^l is held by this work/));
        await lock.release();
        await assert.rejects(work.acquire("l", { ttl: 9000 }), refused(/^l was released by this work: begin anew with locks.work/));
      }));

    test("a name that others hold may be asked for again by the same work", () =>
      withLocks(kind, server, async (locks) => {
        const work = locks.work();
        const holder = await locks.acquire("n", { ttl: 9000 });
        await assert.rejects(work.acquire("n", { ttl: 9000 }), LockHeld);
        await assert.rejects(work.acquire("n", { ttl: 9000, wait: 50 }), LockHeld);
        await holder.release();
        await (await work.acquire("n", { ttl: 9000 })).release();
      }));

    test("one signal may end many waits, without a warning", () =>
      withLocks(kind, server, async (locks) => {
        const holder = await locks.acquire("many", { ttl: 9000 });
        const [abort, warnings] = [new AbortController(), [] as Error[]];
        const note = (warning: Error): number => warnings.push(warning);
        process.on("warning", note);
        const options = { ttl: 9000, wait: "30s", signal: abort.signal } as const;
        const waits = Array.from({ length: 30 }, () => assert.rejects(locks.acquire("many", options), /AbortError/));
        await eventually("all wait", async () => (await server.standing("many")).waiters === 30);
        abort.abort();
        await Promise.all(waits);
        process.off("warning", note);
        assert.deepEqual(warnings, []);
        await holder.release();
        await server.untilFree("many");
      }));

    test("an aborted signal asks for nothing; one that is aborted later ends no lock that is held", () =>
      withLocks(kind, server, async (locks) => {
        await assert.rejects(locks.acquire("o", { ttl: 9000, signal: AbortSignal.abort(new Error("stop")) }), /stop/);
        assert.deepEqual(await server.standing("o"), { holders: 0, waiters: 0 });
        const abort = new AbortController();
        const lock: Lock = await locks.acquire("o", { ttl: 9000, signal: abort.signal });
        abort.abort();
        lock.throwIfLost();
        assert.equal(lock.signal.aborted, false);
        await lock.release();
      }));
  });
}
