import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { LockConfig, LockHeld } from "@redis-lock/client";
import { KINDS, POOLS, withLocks } from "./support/clients.mjs";
import { TestServer } from "./support/server.mjs";

let server: TestServer;
before(async () => void (server = await TestServer.start()));
after(() => server.stop());

for (const kind of [...KINDS, ...POOLS]) {
  describe(`holding with ${kind.name}`, () => {
    test("excludes others, gives rising tokens, and is free after the release", () =>
      withLocks(kind, server, async (locks) => {
        const first = await locks.acquire("a", { ttl: "10s" });
        await assert.rejects(locks.acquire("a", { ttl: "10s" }), LockHeld);
        assert.equal(await first.release(), true);
        const second = await locks.acquire("a", { ttl: "10s" });
        assert.ok(second.token > first.token, `${second.token} is not above ${first.token}`);
        await second.release();
        await server.untilFree("a");
      }));

    test("shared ones tolerate each other, and one that is exclusive tolerates none", () =>
      withLocks(kind, server, async (locks) => {
        const readers = [await locks.acquire("b", { ttl: 9000, shared: true }), await locks.acquire("b", { ttl: 9000, shared: true })];
        await assert.rejects(locks.acquire("b", { ttl: 9000 }), LockHeld);
        await Promise.all(readers.map((reader) => reader.release()));
        await locks.using("b", { ttl: 9000 }, async () => {
          await assert.rejects(locks.acquire("b", { ttl: 9000, shared: true }), LockHeld);
        });
      }));

    test("limit lets so many in", () =>
      withLocks(kind, server, async (locks) => {
        const two = [await locks.acquire("c", { ttl: 9000, limit: 2 }), await locks.acquire("c", { ttl: 9000, limit: 2 })];
        await assert.rejects(locks.acquire("c", { ttl: 9000, limit: 2 }), LockHeld);
        await Promise.all(two.map((lock) => lock.release()));
      }));

    test("several names are taken together, under one token, or not at all", () =>
      withLocks(kind, server, async (locks) => {
        const both = await locks.acquire(["d:1", "d:2", "d:1"], { ttl: 9000 });
        assert.deepEqual(both.names, ["d:1", "d:2"]);
        await assert.rejects(locks.acquire(["d:2", "d:3"], { ttl: 9000 }), LockHeld);
        assert.equal((await server.standing("d:3")).holders, 0);
        await both.extend("20s");
        assert.ok((await server.ask<number>("LOCK.TTL", "d:1")) > 15_000);
        assert.equal(await both.release(), true);
        await server.untilFree("d:2");
      }));

    test("fence sets the least token, meta is shown", () =>
      withLocks(kind, server, async (locks) => {
        const before = await locks.using("e", { ttl: 9000 }, (lock) => lock.token);
        await locks.using("e", { ttl: 9000, fence: before + 1000, meta: "host 7" }, async (lock) => {
          assert.equal(lock.token, before + 1000);
          const info = await server.ask<{ holders: [{ meta: string; fence: number }] }>("LOCK.INFO", "e");
          assert.equal(info.holders[0].meta, "host 7");
          assert.equal(info.holders[0].fence, lock.token);
        });
      }));

    test("what does not help to repeat is LockConfig, at once", () =>
      withLocks(kind, server, async (locks) => {
        await server.ask("SET", "text", "1");
        const started = performance.now();
        await assert.rejects(locks.acquire("text", { ttl: 9000, wait: "1m" }), (error) => {
          assert.ok(error instanceof LockConfig);
          assert.match(error.message, /^text: WRONGTYPE .*something else than a lock is at this key/);
          return true;
        });
        await assert.rejects(locks.acquire("f", { ttl: "48h", wait: "1m" }), /LockConfig.*86400000|between 1 and 86400000/);
        assert.ok(performance.now() - started < 5000);
      }));

    test("NOPERM is LockConfig", async () => {
      await server.ask("ACL", "SETUSER", "poor", "on", ">secret", "~*", "+@all", "-lock.acquire");
      await withLocks(
        kind,
        server,
        (locks) => assert.rejects(locks.acquire("g", { ttl: 9000, wait: "1m" }), (error) => error instanceof LockConfig && /NOPERM/.test(error.message)),
        { username: "poor", password: "secret" },
      );
    });

    test("a server without the module is LockConfig, in words", async () => {
      const plain = await TestServer.start({ module: false });
      try {
        await withLocks(kind, plain, (locks) =>
          assert.rejects(locks.acquire("h", { ttl: 9000, wait: "1m" }), (error) => error instanceof LockConfig && /lacks the module redis-lock/.test(error.message)),
        );
      } finally {
        await plain.stop();
      }
    });

    if (!kind.prefixes) return;
    test("the client's keyPrefix is part of the name, as with its own commands", () =>
      withLocks(
        kind,
        server,
        async (locks, redis) => {
          await (redis as unknown as { set(key: string, value: string): Promise<unknown> }).set("i", "1");
          assert.equal(await server.ask("DEL", "app:i"), 1);
          const lock = await locks.acquire("i", { ttl: 9000 });
          assert.equal((await server.standing("app:i")).holders, 1);
          const waiting = locks.acquire("i", { ttl: 9000, wait: "10s" });
          await server.untilWaiting("app:i", 1);
          await lock.release();
          await (await waiting).release();
        },
        { keyPrefix: "app:" },
      ));
  });
}
