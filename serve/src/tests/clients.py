"""psycopg against the role: python clients.py PORT, the password in PGPASSWORD."""

import datetime as dt
import sys
import threading
import time

import psycopg

UTC = dt.timezone.utc
MIDNIGHT = dt.datetime(2026, 5, 1, tzinfo=UTC)
connect = lambda **more: psycopg.connect(
    host="127.0.0.1", port=int(sys.argv[1]), user="quentin", dbname="forebay", **more
)


def one(cursor, sql, parameters=None):
    rows = cursor.execute(sql, parameters).fetchall()
    assert len(rows) == 1, (sql, rows)
    return rows[0]


with connect() as link:
    for binary in (False, True):
        cursor = link.cursor(binary=binary)
        row = one(
            cursor,
            "SELECT event_time, device, value, quality, value_text FROM readings "
            "WHERE event_time >= %s AND device = %s ORDER BY event_time LIMIT 1",
            (MIDNIGHT + dt.timedelta(minutes=3), "quartz-pump"),
        )
        assert row == (MIDNIGHT + dt.timedelta(minutes=3), "quartz-pump", 1234.5, 0, None), row
        assert one(cursor, "SELECT count(*) FROM readings WHERE value > %s", (1000.0,)) == (120,)
        assert one(cursor, "SELECT count(*) FROM readings WHERE lane = %s", (0,)) == (120,)
        # Between what is asked and what is there stands nothing that a parameter could get past.
        assert one(cursor, "SELECT count(*) FROM readings WHERE site = %s", ("basalt",)) == (0,)
        assert one(cursor, "SELECT count(*) FROM alerts WHERE site <> %s", ("quartz",)) == (0,)
        # Lists are arrays, with and without a cast.
        for array in ("%s::text[]", "%s"):
            tags = ["quartz-temp", 'o,t"her', None]
            sql = f"SELECT count(*) FROM readings WHERE tag = any({array})"
            assert one(cursor, sql, (tags,)) == (120,), sql
        assert one(cursor, "SELECT count(*) FROM readings WHERE value = any(%s)", ([1.5, 1234.5],)) == (120,)
        assert one(cursor, "SELECT count(*) FROM readings WHERE lane = any(%s)", ([0, 7],)) == (120,)
        assert one(cursor, "SELECT count(*) FROM readings WHERE event_time < %s", ("2026-05-01 00:01",)) == (2,)
    cursor = link.cursor()
    for _ in range(20):  # prepared from the sixth on
        assert one(cursor, "SELECT count(*) FROM readings WHERE tag = %s", ("quartz-temp",)) == (120,)
    cursor.execute("SELECT site, value FROM readings")
    assert [column.name for column in cursor.description] == ["site", "value"]
    assert cursor.rowcount == 120
    cursor.execute("SELECT value, value::int FROM readings LIMIT 1")
    assert [column.name for column in cursor.description] == ["value", "value"]
    try:
        cursor.execute("SELECT nothing FROM readings")
        raise SystemExit("an unknown column has been answered")
    except psycopg.Error as error:
        assert error.sqlstate == "42000", error.sqlstate
    try:
        cursor.execute("SELECT 1")
        raise SystemExit("a failed transaction went on")
    except psycopg.errors.InFailedSqlTransaction:
        link.rollback()
    assert one(link.cursor(), "SELECT 1") == (1,)

# Another connection cancels what runs.
with connect(autocommit=True) as link:
    begun = time.monotonic()
    threading.Timer(2, link.cancel).start()  # it runs by then
    try:
        link.execute("SELECT count(*) FROM generate_series(1, 100000) AS a, generate_series(1, 100000) AS b WHERE a.value + b.value < 0")
        raise SystemExit("a cancelled query has been answered")
    except psycopg.errors.QueryCanceled as error:
        assert "cancelled" in str(error), error
    assert time.monotonic() - begun < 8
    assert one(link.cursor(), "SELECT 1") == (1,)
    # A time-out of the client's own.
    link.execute("SET statement_timeout = '300ms'")
    try:
        link.execute("SELECT count(*) FROM readings a, readings b, readings c, readings d WHERE a.value + b.value + c.value > d.value + 5000")
        raise SystemExit("a slow query has been answered")
    except psycopg.errors.QueryCanceled as error:
        assert "timed out after 300 ms" in str(error), error
