"""A pool of SQLAlchemy that reports on itself, until it has no connection left."""

import json
import os
import socket
import time

from sqlalchemy import create_engine, text
from sqlalchemy.exc import TimeoutError

engine = create_engine("postgresql+psycopg2://", pool_size=2, max_overflow=2, pool_timeout=0.05,
                       connect_args={"application_name": "orders"})
sample = {"pool": "orders", "instance": f"{socket.gethostname()}:{os.getpid()}"[-63:],
          "timeouts": 0, "acquire_ms": []}


def acquire():
    begun = time.perf_counter()
    try:
        connection = engine.connect()
    except TimeoutError:
        sample["timeouts"] += 1
        raise
    sample["acquire_ms"].append((time.perf_counter() - begun) * 1000)
    return connection


def report(connection):
    pool = engine.pool
    now = {"size": pool.size(), "checked_out": pool.checkedout(), "overflow": pool.overflow()}
    connection.execute(text("SELECT dbperf.report_pool_sample(CAST(:sample AS jsonb))"),
                       {"sample": json.dumps({**sample, **now})})
    sample["acquire_ms"] = []


def status(connection):
    print(connection.execute(text("""
        SELECT format('%s/%s/%s %s/%s', client_reported ->> 'size', client_reported ->> 'checked_out', client_reported ->> 'overflow',
                      acquire_count, acquire_timeouts)
        FROM dbperf.pool_status WHERE pool = 'orders'""")).scalar())


connections = [acquire()]
report(connections[0])
status(connections[0])
connections += [acquire() for _ in range(3)]
try:
    acquire()
except TimeoutError:
    pass
report(connections[0])
status(connections[0])
