import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type AcquireOptions, LockConfig, Locks, type Names, type RedisClient } from "@redis-lock/client";

// Never asked: what is wrong is told before anything is sent.
const never = new Proxy({ sendCommand() {}, duplicate() {}, connect() {}, destroy() {} }, {
  get: (target, name) => {
    if (name in target) return () => assert.fail("something was sent");
    return name === "isOpen" ? true : undefined;
  },
});
const locks = new Locks(never as unknown as RedisClient);

const refuses = (names: unknown, options: unknown, message: string): Promise<void> =>
  assert.rejects(locks.acquire(names as Names, options as AcquireOptions), (error) => {
    assert.ok(error instanceof LockConfig, String(error));
    assert.equal(error.name, "LockConfig");
    assert.ok(error.message.startsWith(message), error.message);
    return true;
  });

describe("arguments", () => {
  test("a ttl is needed, and a time has its unit or is a number of milliseconds", async () => {
    await refuses("a", {}, "ttl is undefined: it must be 1 to 2147483647 milliseconds, as a number or with its unit");
    await refuses("a", undefined, "the options are undefined: give at least a ttl");
    for (const ttl of ["30", "30 sec", "s", "-1s", "", "1e3ms", 0, -5, Number.NaN, Infinity, null, {}, "30d"]) {
      await refuses("a", { ttl }, "ttl is ");
    }
    await refuses("a", { ttl: "30" }, 'ttl is "30": ');
    await refuses("a", { ttl: 1, wait: Infinity }, "wait is Infinity: it must be 0 to");
  });

  test("names are texts that are not empty", async () => {
    await refuses("", { ttl: 1 }, 'the name of the lock is "": ');
    await refuses([], { ttl: 1 }, "the name of the lock is []: ");
    await refuses(["a", 7], { ttl: 1 }, "the name of the lock is [ 'a', 7 ]: ");
    await refuses(undefined, { ttl: 1 }, "the name of the lock is undefined: ");
  });

  test("options are known, in their range, and do not contradict each other", async () => {
    await refuses("a", { ttl: 1, tll: 3 }, "there is no option tll: there are ttl, wait,");
    await refuses("a", { ttl: 1, shared: true, limit: 3 }, "shared and limit 3 exclude each other");
    for (const limit of [0, 10_001, 1.5, "3"]) await refuses("a", { ttl: 1, limit }, "limit is ");
    for (const fence of [0, -1, 2 ** 53, "7"]) await refuses("a", { ttl: 1, fence }, "fence is ");
    await refuses("a", { ttl: 1, meta: "ü".repeat(257) }, 'meta is "ü');
    await refuses("a", { ttl: 1, signal: {} }, "signal is {}: give an AbortSignal");
    await assert.rejects(locks.using("a", { ttl: 1 }, undefined as never), /using takes the name, the options and a function/);
  });

  test("a client that is none is refused, and a list of them in words of its own", () => {
    const config = (message: RegExp) => (error: unknown) => error instanceof LockConfig && message.test(error.message);
    assert.throws(() => new Locks([never, never] as never), config(/^a list of 2 clients: locks over several independent servers/));
    for (const wrong of [undefined, null, {}, "redis://localhost", { sendCommand() {} }]) {
      assert.throws(() => new Locks(wrong as never), config(/is no client that is known: give one of node-redis/));
    }
    assert.throws(() => new Locks(never as never, { timeout: "soon" }), config(/^timeout is "soon"/));
  });
});
