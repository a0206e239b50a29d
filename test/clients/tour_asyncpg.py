"""A tour with asyncpg, which sends Python lists as binary arrays."""

import asyncio
import json
from datetime import datetime, timedelta, timezone

import asyncpg

from tour import check, check_in, done, expect

START = datetime.now(timezone.utc).replace(microsecond=0)

# The types of $1, $2, $3 are those of the function's parameters. Arguments by name come last.
TICKS = "SELECT * FROM dbperf.bulk_insert_market_data($1, $2, $3)"
TICKS_REJECT = "SELECT * FROM dbperf.bulk_insert_market_data($1, $2, $3, on_error => 'reject')"


def times(count, first=0):
    return [START + timedelta(seconds=first + i) for i in range(count)]


async def count(db):
    return await db.fetchval("SELECT count(*) FROM market_data")


async def insert(db, ids):
    n = 2500
    result = await db.fetchrow(
        TICKS, times(n), [ids[i % 2] for i in range(n)], [100 + i / 100 for i in range(n)])
    check("a row for each element", result["inserted"], n)
    check("in batches", result["batches"], 3)
    check("none left out", (result["rejected"], result["skipped"]), (0, 0))
    check("elapsed is a timedelta", isinstance(result["elapsed"], timedelta), True)
    check("they are there", await count(db), n)
    row = await db.fetchrow("SELECT * FROM market_data ORDER BY timestamp DESC LIMIT 1")
    check("with what was given, and defaults", (
        row["timestamp"], row["instrument_id"], row["price"], row["volume"], row["id"] is None,
        row["created_at"] is None), (times(n)[-1], ids[1], 124.99, None, False, False))
    check("no rows are no error", (await db.fetchrow(TICKS, [], [], []))["inserted"], 0)


async def insert_into_any_table(db, ids):
    # One array for each column. Nothing says what type $2 is of, so cast it to the column's.
    result = await db.fetchrow(
        "SELECT * FROM dbperf.bulk_insert('market_data', $1, $2::timestamptz[], $3::int[],"
        " $4::float8[], $5::bigint[])",
        ["timestamp", "instrument_id", "price", "volume"],
        times(3, first=3000), [ids[0]] * 3, [1.5, None, 2.5], [10, 2**40, None])
    check("one array for each column", result["inserted"], 3)
    check("None is null", [tuple(row) for row in await db.fetch(
        "SELECT price, volume FROM market_data WHERE timestamp >= $1 ORDER BY timestamp",
        times(1, first=3000)[0])], [(1.5, 10), (None, 2**40), (2.5, None)])

    # Options go into a jsonb after the arrays ...
    options = json.dumps({"on_conflict": "nothing"})
    result = await db.fetchrow(
        "SELECT * FROM dbperf.bulk_insert('instruments', '{symbol,name}', $1::text[], $2::text[],"
        " $3::jsonb)", ["MSFT", "NVDA"], ["Microsoft", "Nvidia"], options)
    check("on_conflict nothing", (result["inserted"], result["skipped"]), (1, 1))
    # ... or, with the arrays in a ROW, are given by name.
    result = await db.fetchrow(
        "SELECT * FROM dbperf.bulk_insert('instruments', '{symbol,name}',"
        " ROW($1::text[], $2::text[]), on_conflict => 'update', conflict_columns => '{symbol}')",
        ["MSFT", "AMZN"], ["Microsoft", "Amazon"])
    check("on_conflict update", (result["inserted"], result["skipped"]), (2, 0))
    check("the row that was there is changed",
          await db.fetchval("SELECT name FROM instruments WHERE symbol = 'MSFT'"), "Microsoft")

    # Rows as JSON: what a row lacks takes its default.
    rows = [{"symbol": "TSLA"}, {"symbol": "META", "is_active": False}]
    result = await db.fetchrow(
        "SELECT * FROM dbperf.bulk_insert('instruments', rows => $1)", json.dumps(rows))
    check("rows as jsonb", result["inserted"], 2)
    check("with defaults", [row["is_active"] for row in await db.fetch(
        "SELECT is_active FROM instruments WHERE symbol IN ('TSLA', 'META') ORDER BY id")],
        [True, False])


async def leave_out_bad_rows(db, ids):
    before = await count(db)
    result = await db.fetchrow(
        TICKS_REJECT, times(4, first=4000), [ids[0], ids[0], -1, None],
        [10.0, float("nan"), 10.0, 10.0])
    check("good rows go in", (result["inserted"], result["rejected"]), (1, 3))
    check("and they alone", await count(db), before + 1)
    rejects = await db.fetch(
        'SELECT row_number, sqlstate, column_name, reason, "row" FROM dbperf.ingest_rejects'
        " WHERE parent = 'market_data'::regclass ORDER BY row_number")
    check("the others are kept, by their number in the call",
          [row["row_number"] for row in rejects], [2, 3, 4])
    check("with the SQLSTATE", [row["sqlstate"] for row in rejects], ["23514", "23503", "23502"])
    check("and the column, where it is one", rejects[2]["column_name"], "instrument_id")
    check_in("the reason names the rule", "price_positive", rejects[0]["reason"])
    check("the row is there to be mended", json.loads(rejects[1]["row"])["instrument_id"], -1)


async def errors(db, ids):
    before = await count(db)
    with expect(asyncpg.NotNullViolationError, "an error by its class") as failure:
        await db.fetchrow(TICKS, times(3, first=5000), [ids[0], ids[0], None], [1.0, 2.0, 3.0])
    check("its SQLSTATE", failure.error.sqlstate, "23502")
    check("its column", failure.error.column_name, "instrument_id")
    check_in("and its row", "row 3", failure.error.context)
    with expect(asyncpg.CheckViolationError, "a rule is like a CHECK") as failure:
        await db.fetchrow(TICKS, times(2, first=5000), [ids[0]] * 2, [1.0, -2.0])
    check_in("its name", "price_positive", failure.error.message)
    check_in("and the row", "row 2", failure.error.context)
    with expect(asyncpg.ForeignKeyViolationError, "an unknown instrument"):
        await db.fetchrow(TICKS, times(2, first=5000), [ids[0], -1], [1.0, 2.0])
    with expect(asyncpg.ArraySubscriptError, "arrays of unequal length"):
        await db.fetchrow(TICKS, times(2, first=5000), [ids[0]], [1.0, 2.0])
    with expect(asyncpg.UndefinedColumnError, "an unknown column"):
        await db.fetchrow("SELECT * FROM dbperf.bulk_insert('market_data', '{pirce}', $1::float8[])", [1.0])
    with expect(asyncpg.NotNullViolationError, "a late row of many") as failure:
        await db.fetchrow(TICKS, times(1500, first=5000), [ids[0]] * 1499 + [None], [1.0] * 1500)
    check_in("has its number in the call", "row 1500", failure.error.context)
    check("nothing is left of any", await count(db), before)


async def transactions(db, ids):
    before = await count(db)
    with expect(ZeroDivisionError, "the application fails after the insert"):
        async with db.transaction():
            await db.fetchrow(TICKS, times(10, first=6000), [ids[0]] * 10, [1.0] * 10)
            check("the transaction sees its rows", await count(db), before + 10)
            1 / 0
    check("rolled back, they are gone", await count(db), before)


async def cancel(db, ids):
    before = await count(db)
    other = await asyncpg.connect()
    async with other.transaction():
        # The last row waits for this one, which its foreign key points to.
        await other.execute("SELECT FROM instruments WHERE id = $1 FOR UPDATE", ids[1])
        with expect(asyncio.TimeoutError, "a call that takes too long"):
            await db.fetchrow(
                TICKS, times(3000, first=6000), [ids[0]] * 2999 + [ids[1]], [1.0] * 3000,
                timeout=1)
        # The server is told to cancel in the background; the next query waits until it has. Before
        # that, what the call waited for must not come.
        check("leaves nothing", await count(db), before)
    await other.close()
    result = await db.fetchrow(TICKS, times(1, first=6000), [ids[1]], [1.0])
    check("and the connection is good for the next one", result["inserted"], 1)


async def prepared(db, ids):
    statement = await db.prepare(TICKS)
    then = [datetime(2014, 5, 3, tzinfo=timezone.utc)]
    check("prepared once", (await statement.fetchrow(times(1, first=7000), ids[:1], [1.0]))["inserted"], 1)
    await db.execute("SELECT dbperf.create_market_data_partition($1)", then[0])
    check("it finds a partition that was made since",
          (await statement.fetchrow(then, ids[:1], [1.0]))["inserted"], 1)
    check("and puts the row there", await db.fetchval("SELECT count(*) FROM market_data_2014_05"), 1)


async def soft_delete(db, ids):
    bad = [row["id"] for row in await db.fetch(
        "SELECT id FROM market_data WHERE instrument_id = $1 ORDER BY timestamp LIMIT 5", ids[0])]
    active = await db.fetchval("SELECT count(*) FROM market_data_active")
    check("rows are marked as deleted", await db.fetchval(
        "SELECT dbperf.soft_delete_market_data($1, deleted_by => $2, reason => $3)",
        bad, "quality control", "ticket 42"), 5)
    check("once", await db.fetchval("SELECT dbperf.soft_delete_market_data($1)", bad), 0)
    check("the view does without them",
          await db.fetchval("SELECT count(*) FROM market_data_active"), active - 5)
    check("the table has them, with who it was", await db.fetchval(
        "SELECT deleted_by FROM market_data WHERE id = $1 AND deleted_at IS NOT NULL", bad[0]),
        "quality control")
    check("restored", await db.fetchval("SELECT dbperf.restore_market_data($1)", bad), 5)
    check("all is as before", await db.fetchval("SELECT count(*) FROM market_data_active"), active)


async def queries(db, ids):
    newest = await db.fetch("SELECT * FROM dbperf.get_active_market_data($1, $2, $3, 10)",
                            ids[0], START, START + timedelta(seconds=100))
    check("the newest rows of a time, newest first",
          [row["timestamp"] for row in newest], times(100)[98::-2][:10])
    wanted = await db.fetchrow(
        "SELECT id, timestamp, price FROM market_data_active WHERE instrument_id = $1"
        " ORDER BY timestamp DESC LIMIT 1", ids[1])
    latest = await db.fetch("SELECT * FROM dbperf.get_latest_market_data($1)", [ids[1]])
    check("the last row of an instrument",
          [(row["id"], row["timestamp"], row["price"]) for row in latest], [tuple(wanted)])
    await db.fetchval("SELECT dbperf.soft_delete_market_data($1)", [wanted["id"]])
    latest = await db.fetch("SELECT * FROM dbperf.get_latest_market_data($1)", [ids[1]])
    check("deleted, it gives way to the one before it", latest[0]["timestamp"] < wanted["timestamp"], True)
    rate = await db.fetchrow("SELECT * FROM dbperf.ingest_rate WHERE relation = 'market_data'::regclass")
    check("rows are counted as they come in", rate["rows_total"], await count(db))


async def main():
    db = await asyncpg.connect()
    await db.execute("SELECT dbperf.create_market_schema()")
    await db.execute("SELECT dbperf.enable_soft_delete('market_data')")
    ids = [row["id"] for row in await db.fetch(
        "INSERT INTO instruments (symbol) SELECT unnest($1::text[]) RETURNING id", ["AAPL", "MSFT"])]
    for part in (insert, insert_into_any_table, leave_out_bad_rows, errors, transactions, cancel,
                 prepared, soft_delete, queries):
        await part(db, ids)
    await db.close()
    done()


asyncio.run(main())
