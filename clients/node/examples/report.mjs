// A report in Postgres that each holder of its lock reads, changes and writes. A holder that was paused past its ttl and
// wakes up must not write over its successor: the row remembers the highest token that it was shown, and refuses lower ones.
//
// The token is shown before the row is read. To compare it on writing alone is not enough: the successor may have read
// already, and would write over what the late one just wrote.

/** Somebody holds the lock under a higher token: stop. */
export class Overtaken extends Error {}

export const SCHEMA =
  "CREATE TABLE IF NOT EXISTS report (id int PRIMARY KEY, body text NOT NULL, fence bigint NOT NULL DEFAULT 0)";

/** Shows the token, then reads. */
export async function read(database, id, token) {
  const shown = await database.query("UPDATE report SET fence = $2 WHERE id = $1 AND fence <= $2", [id, token]);
  if (shown.rowCount === 0) throw new Overtaken(`report ${id} was shown a higher token than ${token}`);
  const { rows } = await database.query("SELECT body FROM report WHERE id = $1", [id]);
  return rows[0].body;
}

export async function write(database, id, token, body) {
  const written = await database.query("UPDATE report SET body = $3 WHERE id = $1 AND fence = $2", [id, token, body]);
  if (written.rowCount === 0) throw new Overtaken(`report ${id} was shown another token than ${token} meanwhile`);
}
