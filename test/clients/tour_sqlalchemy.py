"""A tour with SQLAlchemy (1.4 and 2.0): models of the tables, and bulk inserts beside them.

On psycopg2, and at the end asynchronously on asyncpg.
"""

import asyncio
from datetime import datetime, timedelta, timezone

from sqlalchemy import (BigInteger, Column, DateTime, Float, Integer, Text, create_engine, func, select,
                        text)
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, declarative_base

from tour import check, check_in, done, expect

START = datetime.now(timezone.utc).replace(microsecond=0)
Base = declarative_base()


class Instrument(Base):
    __tablename__ = "instruments"
    id = Column(Integer, primary_key=True)
    symbol = Column(Text, nullable=False, unique=True)
    name = Column(Text)


class MarketData(Base):
    __tablename__ = "market_data"
    id = Column(BigInteger, primary_key=True)
    timestamp = Column(DateTime(timezone=True), primary_key=True)
    instrument_id = Column(Integer, nullable=False)
    price = Column(Float(53))
    volume = Column(BigInteger)
    deleted_at = Column(DateTime(timezone=True))
    deleted_by = Column(Text)


class ActiveMarketData(Base):
    """The view of the rows that are not deleted: a model like that of a table."""

    __tablename__ = "market_data_active"
    id = Column(BigInteger, primary_key=True)
    timestamp = Column(DateTime(timezone=True), primary_key=True)
    instrument_id = Column(Integer, nullable=False)
    price = Column(Float(53))


# In text() a cast is CAST(:x AS …): SQLAlchemy has a meaning of its own for ":x::type".
TICKS = text("SELECT * FROM dbperf.bulk_insert_market_data(:times, :ids, :prices, on_error => :on_error)")


def times(count, first=0):
    return [START + timedelta(seconds=first + i) for i in range(count)]


def ticks(session, times, ids, prices, on_error="abort"):
    return session.execute(
        TICKS, {"times": times, "ids": ids, "prices": prices, "on_error": on_error}).one()


def count(session, model=MarketData):
    return session.execute(select(func.count()).select_from(model)).scalar_one()


def insert(session, ids):
    result = ticks(session, times(1000), ids * 500, [100 + i / 100 for i in range(1000)])
    check("a row for each element", (result.inserted, result.rejected, result.batches), (1000, 0, 1))
    # The same, through func
    bulk_insert = func.dbperf.bulk_insert_market_data(times(2, first=1000), ids, [1.5, None])
    check("as a function in a query",
          session.execute(select(bulk_insert.table_valued("inserted", "rejected").c.inserted)).scalar_one(), 2)
    session.commit()
    newest = session.execute(
        select(MarketData).order_by(MarketData.timestamp.desc()).limit(2)).scalars().all()
    check("they are there, as objects", [row.price for row in newest], [None, 1.5])


def insert_into_any_table(session, ids):
    result = session.execute(text(
        "SELECT * FROM dbperf.bulk_insert('market_data', :columns,"
        " ROW(CAST(:times AS timestamptz[]), CAST(:ids AS int[]), CAST(:volumes AS bigint[])),"
        " batch_size => 2)"), {
            "columns": ["timestamp", "instrument_id", "volume"], "times": times(3, first=2000),
            "ids": ids[:1] * 3, "volumes": [None, 2**40, None]}).one()
    check("arrays in a ROW, options by name", (result.inserted, result.batches), (3, 2))
    result = session.execute(text(
        "SELECT * FROM dbperf.bulk_insert('instruments', '{symbol,name}',"
        " ROW(CAST(:symbols AS text[]), CAST(:names AS text[])),"
        " on_conflict => 'update', conflict_columns => '{symbol}')"), {
            "symbols": ["MSFT", "NVDA"], "names": ["Microsoft", "Nvidia"]}).one()
    check("on_conflict update", (result.inserted, result.skipped), (2, 0))
    result = session.execute(
        text("SELECT * FROM dbperf.bulk_insert('instruments', rows => CAST(:rows AS jsonb))"),
        {"rows": '[{"symbol": "TSLA"}, {"symbol": "META", "name": "Meta"}]'}).one()
    check("rows as jsonb", result.inserted, 2)
    session.commit()
    check("the ORM sees what was changed", session.execute(
        select(Instrument.name).where(Instrument.symbol == "MSFT")).scalar_one(), "Microsoft")


def leave_out_bad_rows(session, ids):
    before = count(session)
    result = ticks(session, times(3, first=3000), [ids[0], -1, ids[1]], [1.0, 1.0, -1.0], "reject")
    check("good rows go in", (result.inserted, result.rejected), (1, 2))
    session.commit()
    check("and they alone", count(session), before + 1)
    rejects = session.execute(text(
        'SELECT row_number, sqlstate, "row" FROM dbperf.ingest_rejects ORDER BY row_number')).all()
    check("the others are kept", [(r.row_number, r.sqlstate) for r in rejects],
          [(2, "23503"), (3, "23514")])
    check("as they were given", rejects[0].row["instrument_id"], -1)


def errors(session, ids):
    before = count(session)
    with expect(IntegrityError, "an IntegrityError") as failure:
        ticks(session, times(2, first=4000), [ids[0], None], [1.0, 2.0])
    session.rollback()
    about = failure.error.orig.diag
    check("its SQLSTATE and column", (about.sqlstate, about.column_name), ("23502", "instrument_id"))
    check_in("and its row", "row 2", about.context)
    with expect(IntegrityError, "a rule is like a CHECK") as failure:
        ticks(session, times(2, first=4000), ids, [1.0, -1.0])
    session.rollback()
    check_in("its name", "price_positive", failure.error.orig.diag.message_primary)
    check("nothing is left of any", count(session), before)


def transactions(session, ids):
    before = count(session)
    ticks(session, times(5, first=5000), ids[:1] * 5, [1.0] * 5)
    with expect(IntegrityError, "an error inside a savepoint"):
        with session.begin_nested():
            ticks(session, times(5, first=5010), ids[:1] * 4 + [-1], [1.0] * 5)
    # An object and a bulk insert in one transaction
    instrument = Instrument(symbol="SAP")
    session.add(instrument)
    session.flush()
    ticks(session, times(5, first=5020), [instrument.id] * 5, [1.0] * 5)
    check("takes back its own rows only", count(session), before + 10)
    session.rollback()
    check("a rollback leaves nothing", count(session), before)


def cancel(session, ids):
    before = count(session)
    with Session(session.get_bind(), future=True) as other:
        # The last row waits for this one, which its foreign key points to.
        other.execute(select(Instrument).where(Instrument.id == ids[1]).with_for_update())
        session.execute(text("SET LOCAL statement_timeout = '500 ms'"))
        with expect(OperationalError, "statement_timeout") as failure:
            ticks(session, times(3000, first=6000), ids[:1] * 2999 + ids[1:], [1.0] * 3000)
        session.rollback()
    check("its SQLSTATE", failure.error.orig.pgcode, "57014")
    check("leaves nothing", count(session), before)
    check("and the connection is good for the next one",
          ticks(session, times(1, first=6000), ids[1:], [1.0]).inserted, 1)
    session.commit()


def soft_delete(session, ids):
    active = count(session, ActiveMarketData)
    bad = session.execute(select(MarketData.id).order_by(MarketData.id).limit(5)).scalars().all()
    deleted = session.execute(select(func.dbperf.soft_delete_market_data(bad, "quality control")))
    check("rows are marked as deleted", deleted.scalar_one(), 5)
    check("the model of the view does without them", count(session, ActiveMarketData), active - 5)
    check("the table has them, with who it was", session.execute(
        select(MarketData.deleted_by).where(MarketData.id.in_(bad)).distinct()).scalars().all(),
        ["quality control"])
    check("restored", session.execute(select(func.dbperf.restore_market_data(bad))).scalar_one(), 5)
    session.commit()
    check("all is as before", count(session, ActiveMarketData), active)
    # The view can be written to.
    row = session.execute(select(ActiveMarketData).order_by(ActiveMarketData.id).limit(1)).scalar_one()
    row.price = 99.5
    session.commit()
    check("a change through the view", session.get(MarketData, (row.id, row.timestamp)).price, 99.5)


def queries(session, ids):
    # A function's rows as objects of a model
    newest = select(ActiveMarketData).from_statement(
        text("SELECT * FROM dbperf.get_active_market_data(:id, :from_time, :to_time)"))
    rows = session.execute(
        newest, {"id": ids[0], "from_time": START, "to_time": START + timedelta(seconds=10)}).scalars().all()
    check("the rows of a time, newest first", [row.timestamp for row in rows], times(10)[8::-2])
    latest = func.dbperf.get_latest_market_data(ids).table_valued("instrument_id", "timestamp")
    check("the last row of each instrument",
          session.execute(select(latest.c.instrument_id, latest.c.timestamp).order_by(text("1"))).all(),
          session.execute(
              select(ActiveMarketData.instrument_id, func.max(ActiveMarketData.timestamp))
              .group_by(ActiveMarketData.instrument_id).order_by(ActiveMarketData.instrument_id)
              .where(ActiveMarketData.instrument_id.in_(ids))).all())
    rate = session.execute(
        text("SELECT * FROM dbperf.ingest_rate WHERE relation = CAST('market_data' AS regclass)")).one()
    check("rows are counted as they come in", rate.rows_total, count(session))


async def asynchronously(ids):
    engine = create_async_engine("postgresql+asyncpg://")
    async with AsyncSession(engine) as session:
        result = (await session.execute(
            TICKS, {"times": times(1000, first=8000), "ids": ids * 500, "prices": [1.0] * 1000,
                    "on_error": "abort"})).one()
        check("the same from an AsyncSession", result.inserted, 1000)
        await session.commit()
        with expect(IntegrityError, "an error there") as failure:
            await session.execute(
                TICKS, {"times": times(2, first=9000), "ids": [ids[0], None], "prices": [1.0, 2.0],
                        "on_error": "abort"})
        check("its SQLSTATE", failure.error.orig.sqlstate, "23502")
        # What asyncpg raised is behind SQLAlchemy's own error.
        check_in("and its row", "row 2", failure.error.orig.__cause__.context)
    await engine.dispose()


def main():
    engine = create_engine("postgresql+psycopg2://", future=True)
    with Session(engine, future=True) as session:
        session.execute(text("SELECT dbperf.create_market_schema()"))
        session.execute(text("SELECT dbperf.enable_soft_delete('market_data')"))
        instruments = [Instrument(symbol="AAPL"), Instrument(symbol="MSFT")]
        session.add_all(instruments)
        session.commit()
        ids = [instrument.id for instrument in instruments]
        for part in (insert, insert_into_any_table, leave_out_bad_rows, errors, transactions,
                     cancel, soft_delete, queries):
            part(session, ids)
    asyncio.run(asynchronously(ids))
    done()


main()
