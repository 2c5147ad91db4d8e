"""A report in Postgres that each holder reads, changes and writes. A holder that was paused past its ttl and wakes
up must not write over its successor: the row remembers the highest token that it was shown, and refuses lower ones.

The token is shown before the row is read. To compare it on writing alone is not enough: the successor may have
read already, and would write over what the late one just wrote.
"""

import psycopg


class Overtaken(Exception):
    """Somebody holds the lock under a higher token: stop."""


SCHEMA = """
CREATE TABLE IF NOT EXISTS report (id int PRIMARY KEY, body text NOT NULL, fence bigint NOT NULL DEFAULT 0)
"""


def read(database: psycopg.Connection, report: int, token: int) -> str:
    """Shows the token, then reads."""
    shown = database.execute("UPDATE report SET fence = %s WHERE id = %s AND fence <= %s", (token, report, token))
    if shown.rowcount == 0:
        raise Overtaken(f"report {report} was shown a higher token than {token}")
    row = database.execute("SELECT body FROM report WHERE id = %s", (report,)).fetchone()
    assert row is not None
    return str(row[0])


def write(database: psycopg.Connection, report: int, token: int, body: str) -> None:
    written = database.execute("UPDATE report SET body = %s WHERE id = %s AND fence = %s", (body, report, token))
    if written.rowcount == 0:
        raise Overtaken(f"report {report} was shown another token than {token} meanwhile")


def main() -> None:
    import redis

    from redislocks import Locks

    locks = Locks(redis.Redis())
    with psycopg.connect(
        autocommit=True
    ) as database:  # each statement counts at once: PGHOST, PGDATABASE ... say where
        with locks.lock("report:7", ttl=30, wait=60) as lock:
            database.execute(SCHEMA)
            database.execute("INSERT INTO report VALUES (7, '') ON CONFLICT DO NOTHING")
            body = read(database, 7, lock.token)
            write(database, 7, lock.token, body + "a line more\n")
            print("Written under token", lock.token)


if __name__ == "__main__":
    main()
