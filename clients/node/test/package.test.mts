import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Program } from "./support/program.mjs";
import { PACKAGE, Project } from "./support/project.mjs";

// Every client in every version must be one that `new Locks` takes, for TypeScript at its strictest.
const TYPES = `
import { Locks, LockHeld, type Lock, type Work } from "@redis-lock/client";
import * as redis5 from "redis5";
import * as redis50 from "redis50";
import * as redis6 from "redis6";
import { Redis as Redis5, Cluster as Cluster5 } from "ioredis5";
import Redis50 from "ioredis50/built/Redis.js";
import { Redis as Redis6, Cluster as Cluster6 } from "ioredis6";
import { Redis as Valkey, Cluster as ValkeyCluster } from "iovalkey";

const cluster = { rootNodes: [] };
const sentinel = { name: "locks", sentinelRootNodes: [] };
export const all: Locks[] = [
  new Locks(redis50.createClient()), new Locks(redis50.createCluster(cluster)), new Locks(redis50.createSentinel(sentinel)),
  new Locks(redis5.createClient({ RESP: 3 })), new Locks(redis5.createCluster(cluster)), new Locks(redis5.createSentinel(sentinel)),
  new Locks(redis6.createClient({ RESP: 2 })), new Locks(redis6.createCluster(cluster)), new Locks(redis6.createSentinel(sentinel)),
  new Locks(redis5.createClientPool()), new Locks(redis6.createClientPool()),
  new Locks(new Redis50.default()), new Locks(new Redis5()), new Locks(new Redis6()), new Locks(new Valkey()),
  new Locks(new Cluster5([])), new Locks(new Cluster6([])), new Locks(new ValkeyCluster([])),
];

export async function use(locks: Locks): Promise<number> {
  const work: Work = locks.work();
  await using lock: Lock = await work.acquire(["a", "b"] as const, { ttl: "1m", wait: 500, shared: true, meta: "x", fence: 3, renew: true });
  const text: string = await locks.using("a", { ttl: 1, limit: 3 }, () => "done");
  const number: number = await locks.using("a", { ttl: 1 }, async ({ token, signal }) => (signal.aborted ? 0 : token));
  try { await lock.extend(); } catch (error) { if (error instanceof LockHeld) throw error.cause; }
  return number + text.length + lock.remaining;
}

// @ts-expect-error a list is for several servers, later
new Locks([new Redis6()]);
// @ts-expect-error there is no lock without a ttl
all[0]?.acquire("a", {});
// @ts-expect-error there is no such option
all[0]?.acquire("a", { ttl: 1, tll: 2 });
`;

let project: Project;
before(() => {
  const names = ["redis5", "redis50", "redis6", "ioredis5", "ioredis50", "ioredis6", "iovalkey", "@types/node"];
  project = new Project(Object.fromEntries(names.map((name) => [name, name])));
});
after(() => project.remove());

async function output(name: string, text: string): Promise<string> {
  const program = new Program(project.write(name, text));
  assert.equal(await program.ends(), 0, program.output);
  return program.output.trim();
}

describe("the package", () => {
  test("takes the types of every client", () => project.compile(nameOf(TYPES), "--noEmit", "--skipLibCheck"));

  test("its own types need nothing but Node's", () => {
    project.write("alone.mts", 'import { Locks } from "@redis-lock/client";\nexport const type = Locks;\n');
    project.compile("alone.mts", "--noEmit");
    project.write("alone.cts", 'import { Locks } from "@redis-lock/client";\nexport const type = Locks;\n');
    project.compile("alone.cts", "--noEmit");
  });

  test("is one and the same for import and require", async () => {
    const text = `
      import * as imported from "@redis-lock/client";
      import { createRequire } from "node:module";
      const required = createRequire(import.meta.url)("@redis-lock/client");
      console.log(Object.keys(imported).filter((name) => /^(Lock|Dead)/.test(name)).join(" "));
      console.log(imported.Locks === required.Locks, imported.LockHeld === required.LockHeld);`;
    assert.equal(
      await output("both.mjs", text),
      "Deadlock LockConfig LockError LockHeld LockLost LockUnavailable Locks\ntrue true",
    );
  });

  test("holds what a package should, and no more", () => {
    const listed = JSON.parse(project.npm(PACKAGE, "pack", "--dry-run", "--json", "--ignore-scripts")) as [{ files: { path: string }[] }];
    const files = listed[0].files.map(({ path }) => path);
    for (const needed of ["package.json", "README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "dist/index.js", "dist/index.mjs"]) {
      assert.ok(files.includes(needed), `${needed} is missing`);
    }
    assert.deepEqual(files.filter((path) => /^(src|test|build|node_modules)\//.test(path)), []);
  });

  test("the lock file names no registry", () => {
    assert.doesNotMatch(readFileSync(join(PACKAGE, "package-lock.json"), "utf8"), /"resolved"/);
  });
});

function nameOf(text: string): string {
  project.write("types.mts", text);
  return "types.mts";
}
