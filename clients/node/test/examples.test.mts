import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { MISSING, Postgres } from "./support/postgres.mjs";
import { Program } from "./support/program.mjs";
import { Project } from "./support/project.mjs";
import { TestServer } from "./support/server.mjs";

let server: TestServer;
let project: Project;
before(async () => {
  server = await TestServer.start();
  project = new Project({ redis: "redis6", ioredis: "ioredis6", pg: "pg", "@types/node": "@types/node" });
});
after(async () => {
  project.remove();
  await server.stop();
});

const start = (name: string, env: NodeJS.ProcessEnv = {}): Program =>
  new Program(project.path(name), [], { REDIS_URL: server.url, ...env });

async function run(name: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const program = start(name, env);
  assert.equal(await program.ends(), 0, program.output);
  return program.output;
}

/** While somebody else holds the lock. */
async function whileHeld(run: () => Promise<void>): Promise<void> {
  await server.ask("LOCK.ACQUIRE", "resource_lock", "somebody", "600000", "META", "host 9");
  await run();
  await server.ask("DEL", "resource_lock");
}

describe("examples", () => {
  test("quick-start, as a module with node-redis and as CommonJS with ioredis", async () => {
    assert.match(await run("quick-start.mjs"), /^Ours, under token \d+\n$/);
    assert.match(await run("quick-start.cjs"), /^Ours, under token \d+\n$/);
    await server.untilFree("report");
  });

  test("task-runner", async () => {
    assert.match(await run("task-runner.mjs", { TASK_MS: "50" }), /^Task is running under token \d+\nLock released.\n$/);
    await whileHeld(async () => assert.equal(await run("task-runner.mjs"), "Resource is locked, try again later.\n"));
  });

  test("long-task: renewed while it runs, told when it is lost", async () => {
    const [done, lost] = [start("long-task.mjs"), new Program(project.path("long-task.mjs"), [], { REDIS_URL: `${server.url}/1` })];
    await lost.says("Step 1");
    await server.ask("FLUSHALL");
    assert.equal(await lost.ends(), 0);
    assert.match(lost.output, /Task stopped: resource_lock is lost: the server does not have it/);
    assert.equal(await done.ends(), 0);
    assert.match(done.output, /Task (done|stopped)/);
    assert.match(await run("long-task.mjs"), /Step 5\nTask done\.\n$/);
  });

  test("retry-with-fallback", async () => {
    assert.match(await run("retry-with-fallback.mjs"), /^Task is running under token \d+\n$/);
    await whileHeld(async () => {
      assert.match(await run("retry-with-fallback.mjs"), /^Queueing the task for later\. resource_lock: others hold it.*waited 3000 ms/);
    });
  });

  test("wait-in-line: served in turn, and gone from the line on Ctrl-C", async () => {
    await whileHeld(async () => {
      const [first, second] = [start("wait-in-line.mjs"), start("wait-in-line.mjs")];
      await server.untilWaiting("resource_lock", 2);
      first.signal("SIGINT");
      assert.equal(await first.ends(), 1);
      assert.equal(first.output, "stopped while waiting\n");
      await server.untilWaiting("resource_lock", 1);
      await server.ask("LOCK.RELEASE", "resource_lock", "somebody");
      assert.equal(await second.ends(), 0);
      assert.match(second.output, /^Task is running/);
    });
  });

  test("monitor-lock", async () => {
    const monitor = start("monitor-lock.mjs", { EVERY_MS: "50" });
    await monitor.says("Lock status for resource_lock: Unlocked, 0 waiting");
    await whileHeld(() => monitor.says(/Lock status for resource_lock: host 9 for \d+ ms, \d+ ms left, 0 waiting/));
    await monitor.kill();
  });

  test("transfer: await using, several names, TypeScript", async () => {
    project.compile("transfer.mts", "--skipLibCheck");
    await server.ask("MSET", "balance:1", "100", "balance:2", "100", "balance:3", "100");
    const output = await run("transfer.mjs");
    assert.equal(output.trim().split("\n").length, 3, output);
    assert.deepEqual(await server.ask("MGET", "balance:1", "balance:2", "balance:3"), ["75", "120", "105"]);
    await server.untilFree("acct:1");
  });

  test("cron-once: of five hosts one runs the job, and one that is late finds it taken", async () => {
    const outputs = await Promise.all(Array.from({ length: 5 }, () => run("cron-once.mjs")));
    outputs.push(await run("cron-once.mjs"));
    assert.equal(outputs.filter((output) => output.includes("runs the job")).length, 1, outputs.join(""));
    assert.equal(outputs.filter((output) => output.includes("is taken")).length, 5, outputs.join(""));
  });

  test("leader-election: elected in turn, also after a crash; lost is told", async () => {
    const first = start("leader-election.mjs");
    await first.says(/^elected \d+\n/);
    const second = start("leader-election.mjs");
    await server.untilWaiting("leader", 1);
    const third = start("leader-election.mjs");
    await server.untilWaiting("leader", 2);
    first.signal("SIGTERM");
    assert.equal(await first.ends(), 0);
    await second.says("elected");
    await second.kill(); // a crash: the ttl has to run out
    await third.says("elected");
    await server.ask("DEL", "leader");
    await third.says(/lost: leader is lost: the server does not have it as ours/);
    await third.says(/lost: .*\nelected \d+\n/);
    third.signal("SIGINT");
    assert.equal(await third.ends(), 0);
    await server.untilFree("leader");
  });

  test("fenced-write", async () => {
    assert.match(await run("fenced-write.mjs"), /^OK\nFENCED token \d+ is not held/);
    assert.equal(await server.ask("GET", "{report}:body"), "first");
  });
});

interface Database {
  connect(): Promise<void>;
  query(sql: string, values?: unknown[]): Promise<{ rows: { body: string }[] }>;
  end(): Promise<void>;
}

interface Report {
  SCHEMA: string;
  Overtaken: new () => Error;
  read(database: Database, id: number, token: number): Promise<string>;
  write(database: Database, id: number, token: number, body: string): Promise<void>;
}

const skip = process.env["REDIS_LOCK_SKIP_NOTHING"] === undefined && MISSING;

describe("fenced writes to Postgres", { skip }, () => {
  let postgres: Postgres;
  let database: Database;
  before(async () => {
    postgres = await Postgres.start();
    const { Client } = createRequire(import.meta.url)("pg") as { Client: new (options: object) => Database };
    const { PGHOST: host, PGUSER: user, PGDATABASE } = postgres.env;
    database = new Client({ host, user, database: PGDATABASE });
    await database.connect();
  });
  after(async () => {
    await database.end();
    await postgres.stop();
  });

  const bodyOf = async (id: number): Promise<string> =>
    (await database.query("SELECT body FROM report WHERE id = $1", [id])).rows[0]!.body;

  test("the program, four at once", async () => {
    const outputs = await Promise.all(Array.from({ length: 4 }, () => run("fenced-postgres.mjs", postgres.env)));
    for (const output of outputs) assert.match(output, /^Written under token \d+\n$/);
    assert.equal(await bodyOf(7), "a line more\n".repeat(4));
  });

  // A reads and writes under token 1, and is overtaken at any point by B under token 2.
  for (const [i, order] of ["AABB", "ABAB", "ABBA", "BAAB", "BABA", "BBAA"].entries()) {
    test(`in the order ${order} no acknowledged write is lost`, async () => {
      const { SCHEMA, Overtaken, read, write } = (await import(pathToFileURL(project.path("report.mjs")).href)) as Report;
      const id = 100 + i;
      await database.query(SCHEMA);
      await database.query("INSERT INTO report VALUES ($1, '')", [id]);
      const bodies = new Map<string, string>();
      let written = "";
      for (const who of order) {
        const token = who === "A" ? 1 : 2;
        const body = bodies.get(who);
        bodies.set(who, body ?? ""); // who is overtaken before he has read tries to write all the same
        try {
          if (body === undefined) bodies.set(who, await read(database, id, token));
          else await write(database, id, token, body + who).then(() => (written += who));
        } catch (error) {
          assert.ok(error instanceof Overtaken, String(error));
        }
      }
      assert.equal(await bodyOf(id), written);
      assert.ok(written.includes("B"), "the last holder is never refused");
    });
  }
});
