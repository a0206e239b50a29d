"""A tour with psycopg 3, as a role that may write ticks and owns nothing.

Give TOUR_WRITER the name of that role; PGUSER is one that may make tables.
"""

import os
from datetime import datetime, timedelta, timezone

import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

from tour import check, check_in, done, expect

START = datetime.now(timezone.utc).replace(microsecond=0)

# %b: lists go as binary arrays. With %s they go as text, which is slower.
TICKS = "SELECT * FROM dbperf.bulk_insert_market_data(%b, %b, %b)"
TICKS_REJECT = "SELECT * FROM dbperf.bulk_insert_market_data(%b, %b, %b, on_error => 'reject')"

GRANTS = """
GRANT USAGE ON SCHEMA dbperf TO {writer};
GRANT EXECUTE ON FUNCTION dbperf.bulk_insert_market_data, dbperf.bulk_insert(regclass, name[], "any"),
    dbperf.bulk_insert(regclass, name[], record, int, text, text, name[]),
    dbperf.bulk_insert(regclass, jsonb, int, text, text, name[]),
    dbperf.soft_delete_market_data, dbperf.restore_market_data, dbperf.soft_delete, dbperf.restore,
    dbperf.get_active_market_data, dbperf.get_latest_market_data TO {writer};
GRANT SELECT, DELETE ON dbperf.ingest_rejects TO {writer};
GRANT SELECT, INSERT, UPDATE ON market_data, market_data_active, instruments TO {writer};
"""


def times(count, first=0):
    return [START + timedelta(seconds=first + i) for i in range(count)]


def one(db, query, *arguments, **options):
    """The only row of the answer."""
    return db.execute(query, arguments, **options).fetchone()


def count(db):
    return one(db, "SELECT count(*) FROM market_data").count


def insert(db, ids):
    result = one(db, TICKS, times(1000), ids * 500, [100 + i / 100 for i in range(1000)])
    check("a row for each element", (result.inserted, result.rejected, result.batches), (1000, 0, 1))
    check("they are there", count(db), 1000)
    # psycopg takes the smallest type of integer that will do, which is widened.
    result = one(db, TICKS, times(2, first=1000), ids, [100, 101])
    check("prices that are whole", result.inserted, 2)
    check("no rows are no error", one(db, TICKS, [], [], []).inserted, 0)


def insert_into_any_table(db, ids):
    result = one(
        db,
        "SELECT * FROM dbperf.bulk_insert('market_data', %b::name[],"
        " ROW(%b::timestamptz[], %b::int[], %b::bigint[]), batch_size => 2, on_error => %b)",
        ["timestamp", "instrument_id", "volume"], times(3, first=2000), [ids[0]] * 3,
        [None, 2**40, 7], "reject")
    check("arrays in a ROW, options by name", (result.inserted, result.batches), (3, 2))
    result = one(
        db,
        "SELECT * FROM dbperf.bulk_insert('market_data', '{timestamp,instrument_id,volume}',"
        " %b::timestamptz[], %b::int[], %b::bigint[], %b::jsonb)",
        times(3, first=2010), [ids[0]] * 3, [None, None, None], Jsonb({"batch_size": 1}))
    check("arrays and options one after the other", (result.inserted, result.batches), (3, 3))
    rows = [{"timestamp": at.isoformat(), "instrument_id": ids[0]} for at in times(2, first=2020)]
    result = one(db, "SELECT * FROM dbperf.bulk_insert('market_data', rows => %s)", Jsonb(rows))
    check("rows as jsonb", result.inserted, 2)
    # An upsert needs a unique index on what conflicts: here the primary key.
    first = one(db, "SELECT id, timestamp FROM market_data ORDER BY id LIMIT 1")
    result = one(
        db,
        "SELECT * FROM dbperf.bulk_insert('market_data', '{id,timestamp,instrument_id,price}',"
        " ROW(%b::bigint[], %b::timestamptz[], %b::int[], %b::float8[]),"
        " on_conflict => 'update', conflict_columns => '{id,timestamp}')",
        [first.id], [first.timestamp], ids[:1], [99.5])
    check("on_conflict update", (result.inserted, result.skipped), (1, 0))
    check("the price is the new one",
          one(db, "SELECT price FROM market_data WHERE id = %s", first.id).price, 99.5)
    with db.cursor().copy(
            "COPY market_data (timestamp, instrument_id, price) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["timestamptz", "int4", "float8"])
        for at in times(3, first=2030):
            copy.write_row((at, ids[0], 1.0))
    check("COPY is as ever", one(
        db, "SELECT count(*) FROM market_data WHERE timestamp >= %s", times(1, first=2030)[0]).count, 3)


def leave_out_bad_rows(db, ids):
    before = count(db)
    result = one(db, TICKS_REJECT, times(3, first=3000), [ids[0], -1, ids[1]], [1.0, 1.0, -1.0])
    check("good rows go in", (result.inserted, result.rejected), (1, 2))
    check("and they alone", count(db), before + 1)
    rejects = db.execute(
        'SELECT row_number, sqlstate, reason, "row" FROM dbperf.ingest_rejects ORDER BY row_number'
    ).fetchall()
    check("who gave the others sees them", [(r.row_number, r.sqlstate) for r in rejects],
          [(2, "23503"), (3, "23514")])
    check("jsonb comes as Python's own", rejects[0].row["instrument_id"], -1)
    db.execute("DELETE FROM dbperf.ingest_rejects")
    check("and may remove them", one(db, "SELECT count(*) FROM dbperf.ingest_rejects").count, 0)


def errors(db, ids):
    before = count(db)
    with expect(psycopg.errors.NotNullViolation, "an error by its class") as failure:
        one(db, TICKS, times(2, first=4000), [ids[0], None], [1.0, 2.0])
    about = failure.error.diag
    check("its SQLSTATE and column", (about.sqlstate, about.column_name), ("23502", "instrument_id"))
    check_in("and its row", "row 2", about.context)
    with expect(psycopg.errors.CheckViolation, "a rule is like a CHECK") as failure:
        one(db, TICKS, times(1, first=4000), ids[:1], [float("inf")])
    check_in("its name", "price_positive", failure.error.diag.message_primary)
    with expect(psycopg.errors.ArraySubscriptError, "arrays of unequal length") as failure:
        one(db, TICKS, times(2, first=4000), ids[:1], [1.0, 2.0])
    check("with a hint", failure.error.diag.message_hint is None, False)
    with expect(psycopg.errors.InsufficientPrivilege, "a table that the role may not write to"):
        one(db, "SELECT * FROM dbperf.bulk_insert('alert_rules', '{name}', %b::text[])", ["mine"])
    check("nothing is left of any", count(db), before)


def transactions(db, ids):
    before = count(db)
    with db.transaction():
        one(db, TICKS, times(5, first=5000), ids[:1] * 5, [1.0] * 5)
        with expect(psycopg.errors.ForeignKeyViolation, "an error inside a savepoint"):
            with db.transaction():
                one(db, TICKS, times(5, first=5010), ids[:1] * 4 + [-1], [1.0] * 5)
        one(db, TICKS, times(5, first=5020), ids[:1] * 5, [1.0] * 5)
    check("takes back its own rows only", count(db), before + 10)
    with db.transaction():
        one(db, TICKS, times(5, first=5030), ids[:1] * 5, [1.0] * 5)
        raise psycopg.Rollback
    check("a rollback leaves nothing", count(db), before + 10)


def cancel(db, ids):
    before = count(db)
    with psycopg.connect() as other:
        # The last row waits for this one, which its foreign key points to.
        other.execute("SELECT FROM instruments WHERE id = %s FOR UPDATE", ids[1:])
        with expect(psycopg.errors.QueryCanceled, "statement_timeout"):
            with db.transaction():
                db.execute("SET LOCAL statement_timeout = '500 ms'")
                one(db, TICKS, times(3000, first=6000), ids[:1] * 2999 + ids[1:], [1.0] * 3000)
        check("leaves nothing", count(db), before)
    check("and the connection is good for the next one",
          one(db, TICKS, times(1, first=6000), ids[1:], [1.0]).inserted, 1)


def prepared(db, ids):
    then = datetime(2014, 5, 3, tzinfo=timezone.utc)
    one(db, TICKS, times(1, first=7000), ids[:1], [1.0], prepare=True)
    with psycopg.connect() as owner:
        owner.execute("SELECT dbperf.create_market_data_partition(%s)", [then])
    check("a prepared statement finds a partition that was made since",
          one(db, TICKS, [then], ids[:1], [1.0], prepare=True).inserted, 1)


def soft_delete(db, ids):
    bad = [row.id for row in db.execute("SELECT id FROM market_data ORDER BY id LIMIT 5")]
    active = one(db, "SELECT count(*) FROM market_data_active").count
    check("rows are marked as deleted",
          one(db, "SELECT dbperf.soft_delete_market_data(%b, reason => 'ticket 42') AS n", bad).n, 5)
    check("the view does without them",
          one(db, "SELECT count(*) FROM market_data_active").count, active - 5)
    check("the generic form, for any table",
          one(db, "SELECT dbperf.restore('market_data', %b::bigint[]) AS n", bad).n, 5)
    check("all is as before", one(db, "SELECT count(*) FROM market_data_active").count, active)


def queries(db, ids):
    newest = db.execute(
        "SELECT * FROM dbperf.get_active_market_data(%s, start_time => %s, end_time => %s)",
        [ids[0], START, START + timedelta(seconds=10)]).fetchall()
    check("the rows of a time, newest first", [row.timestamp for row in newest], times(10)[8::-2])
    latest = db.execute("SELECT * FROM dbperf.get_latest_market_data(%b)", [ids]).fetchall()
    check("the last row of each instrument", sorted((row.instrument_id, row.timestamp) for row in latest), [
        (row.instrument_id, row.timestamp) for row in db.execute(
            "SELECT instrument_id, max(timestamp) AS timestamp FROM market_data"
            " WHERE deleted_at IS NULL GROUP BY 1 ORDER BY 1")])


def main():
    writer = os.environ["TOUR_WRITER"]
    with psycopg.connect(row_factory=namedtuple_row) as owner:
        owner.execute("SELECT dbperf.create_market_schema()")
        owner.execute("SELECT dbperf.enable_soft_delete('market_data')")
        ids = [row.id for row in owner.execute(
            "INSERT INTO instruments (symbol) VALUES ('AAPL'), ('MSFT') RETURNING id")]
        owner.execute(GRANTS.format(writer=writer))
    with psycopg.connect(user=writer, autocommit=True, row_factory=namedtuple_row) as db:
        for part in (insert, insert_into_any_table, leave_out_bad_rows, errors, transactions,
                     cancel, prepared, soft_delete, queries):
            part(db, ids)
    done()


main()
