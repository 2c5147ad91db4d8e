import pg from "pg";
import { locks, redis } from "./redis.mjs";
import { read, SCHEMA, write } from "./report.mjs";

const database = new pg.Pool(); // PGHOST, PGDATABASE ... say where; each statement counts at once

await locks.using("report:7", { ttl: "30s", wait: "1m" }, async (lock) => {
  await database.query(SCHEMA);
  await database.query("INSERT INTO report VALUES (7, '') ON CONFLICT DO NOTHING");
  const body = await read(database, 7, lock.token);
  await write(database, 7, lock.token, `${body}a line more\n`);
  console.log("Written under token", lock.token);
});
await database.end();
redis.destroy();
