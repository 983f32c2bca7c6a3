"""Sessions through the PostgreSQL leg, by psycopg and asyncpg; fails when anything is not as it is
without the leg. The arguments are its port, what to do, and perhaps a number.
"""

import asyncio
import hashlib
import sys
import threading
import time

import asyncpg
import psycopg

port = int(sys.argv[1])
place = {"host": "127.0.0.1", "port": port, "user": "postgres", "connect_timeout": 20}
ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


def connect(**more):
    return psycopg.connect(dbname="postgres", autocommit=True, **place, **more)


def by_psycopg():
    """Plain queries, the prepared and the pipelined; the server sees TLS where the client has none."""
    with connect() as connection:
        assert connection.execute(ENCRYPTED).fetchone() == (True,)
        assert not connection.pgconn.ssl_in_use
        for number in range(20):
            row = connection.execute("SELECT %s + 1", (number,), prepare=True).fetchone()
            assert row == (number + 1,)
        with connection.pipeline():
            rows = [connection.execute("SELECT %s", (number,)) for number in range(500)]
        assert [row.fetchone()[0] for row in rows] == list(range(500))


async def by_asyncpg():
    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user="postgres", database="postgres"
    )
    assert await connection.fetchval(ENCRYPTED)
    rows = await connection.fetch("SELECT g, repeat('x', 100) FROM generate_series(1, 10000) g")
    assert len(rows) == 10000
    begun = time.monotonic()
    try:
        # A time-out is a CancelRequest.
        await connection.fetchval("SELECT pg_sleep(60)", timeout=0.5)
    except TimeoutError:
        pass
    assert await connection.fetchval("SELECT 1") == 1
    assert time.monotonic() - begun < 10
    await connection.close()


def cancel():
    """A query that sleeps is cancelled at once, the old way and libpq's new one."""
    for way in ["cancel", "cancel_safe"]:
        with connect() as connection:
            timer = threading.Timer(0.3, getattr(connection, way))
            timer.start()
            begun = time.monotonic()
            try:
                connection.execute("SELECT pg_sleep(60)")
                raise AssertionError("it was not cancelled")
            except psycopg.errors.QueryCanceled:
                pass
            assert time.monotonic() - begun < 10
            assert connection.execute("SELECT 1").fetchone() == (1,)


def copy(mebibytes):
    """So much goes in by COPY and comes out by COPY, the same."""
    line = (b"%d\t" + b"0123456789abcdef" * 60 + b"\n")
    count = mebibytes * 1024 * 1024 // len(line % 0)
    sent, received, size = hashlib.sha256(), hashlib.sha256(), 0
    with connect() as connection:
        connection.execute("CREATE UNLOGGED TABLE carried (number int, content text)")
        try:
            begun = time.monotonic()
            with connection.cursor().copy("COPY carried FROM STDIN") as into:
                for start in range(0, count, 100):
                    piece = b"".join(line % number for number in range(start, min(start + 100, count)))
                    sent.update(piece)
                    into.write(piece)
            middle = time.monotonic()
            with connection.cursor().copy("COPY carried TO STDOUT") as out:
                for piece in out:
                    received.update(piece)
                    size += len(piece)
            end = time.monotonic()
        finally:
            connection.execute("DROP TABLE carried")
    assert sent.digest() == received.digest()
    print(f"{size} bytes, in {middle - begun:.2f} s and out {end - middle:.2f} s")


def notify():
    with connect() as listener, connect() as speaker:
        listener.execute("LISTEN news")
        speaker.execute("NOTIFY news, 'the text'")
        notice = next(listener.notifies(timeout=10))
        assert notice.payload == "the text"


def many(count):
    """So many at once, each of which works while all are there."""
    connections = [connect() for _ in range(count)]
    for number, connection in enumerate(connections):
        assert connection.execute("SELECT %s", (number,)).fetchone() == (number,)
    pids = {connection.info.backend_pid for connection in connections}
    assert len(pids) == count
    for connection in connections:
        connection.close()


def stay():
    """Says `ready`, waits for a line, and tells what became of the session meanwhile."""
    with connect() as connection:
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            connection.execute("SELECT 1")
            print("alive")
        except psycopg.OperationalError as why:
            print(str(why).splitlines()[0])


match sys.argv[2:]:
    case ["psycopg"]:
        by_psycopg()
    case ["asyncpg"]:
        asyncio.run(by_asyncpg())
    case ["cancel"]:
        cancel()
    case ["copy", size]:
        copy(int(size))
    case ["notify"]:
        notify()
    case ["many", count]:
        many(int(count))
    case ["stay"]:
        stay()
    case words:
        sys.exit(f"unknown: {words}")
