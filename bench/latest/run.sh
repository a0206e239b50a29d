#!/bin/bash
# The last row of each of 100 instruments: get_latest_market_data() with and without its cache against
# DISTINCT ON and a LATERAL join: `make bench-latest`.
#
# Everything that is compared runs in one private cluster, in turns; a new turn begins with a restart, with
# the cache or without. Latencies are those of the client, one at a time, over a Unix socket. Environment:
#   ROWS=10000000        rows of market_data, over 12 months
#   INSTRUMENTS=100      how many there are and are asked for
#   ROUNDS=5             turns of each kind
#   CALLS=1000           calls in a turn (of DISTINCT ON: a five-hundredth, LATERAL: a tenth)
#   INSTALLED=1          measure what the PostgreSQL of PG_CONFIG has installed; do not build or install
#   BENCH_DIR=DIR        where the cluster goes (default: /dev/shm, else /var/tmp)
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
HERE="$ROOT/bench/latest"
for part in test/lib/common test/lib/deps test/lib/cluster bench/start bench/partitions/lib; do
	# shellcheck source=/dev/null
	. "$ROOT/$part.sh"
done
cd /

ROWS=${ROWS:-10000000}
INSTRUMENTS=${INSTRUMENTS:-100}
ROUNDS=${ROUNDS:-5}
CALLS=${CALLS:-1000}

begin_bench

# Nothing but what is measured may end a transaction: that would empty the cache.
cluster_init "$WORK" "shared_preload_libraries = 'tradeassist_dbperf'" "dbperf.enabled = off" \
	"shared_buffers = 4GB" "max_wal_size = 8GB" "wal_level = minimal" "max_wal_senders = 0" \
	"jit = off" "autovacuum = off" "fsync = off"
cluster_start "$WORK"
query postgres "CREATE DATABASE bench"
run_psql -d bench -v rows="$ROWS" -v instruments="$INSTRUMENTS" -f "$HERE/tables.sql" >/dev/null

keys="'{$(seq -s, 1 "$INSTRUMENTS")}'"
columns='id, "timestamp", instrument_id, price, volume, bid, ask, bid_size, ask_size, open_price, high_price, low_price, created_at, updated_at'
cat >"$WORK/function.sql" <<SQL
SELECT * FROM dbperf.get_latest_market_data($keys);
SQL
cat >"$WORK/function3.sql" <<SQL
SELECT instrument_id, "timestamp", price FROM dbperf.get_latest_market_data($keys);
SQL
cat >"$WORK/distinct.sql" <<SQL
SELECT DISTINCT ON (instrument_id) $columns FROM market_data WHERE instrument_id = ANY ($keys) AND deleted_at IS NULL ORDER BY instrument_id, "timestamp" DESC, id DESC;
SQL
cat >"$WORK/lateral.sql" <<SQL
SELECT m.* FROM unnest($keys::int[]) k, LATERAL (SELECT $columns FROM market_data WHERE instrument_id = k AND deleted_at IS NULL ORDER BY "timestamp" DESC LIMIT 1) m;
SQL
cat >"$WORK/floor.sql" <<SQL
SELECT * FROM answer;
SQL

# measure NAME SCRIPT CALLS: adds the microseconds of each call to $WORK/NAME.us
measure()
{
	rm -f "$WORK"/log.*
	# what is read is in memory, and the backend's caches are full: the first tenth does not count
	as_postgres "$PGBIN/pgbench" -n -M prepared -h "$WORK" -U postgres -d bench -c 1 -t "$(($3 + $3 / 10 + 1))" \
		-f "$WORK/$2.sql" -l --log-prefix="$WORK/log" >/dev/null 2>&1
	cat "$WORK"/log.* | awk -v skip="$(($3 / 10 + 1))" 'NR > skip {print $3}' >>"$WORK/$1.us"
}

# turn KILOBYTES SUFFIX: with a cache of that size
turn()
{
	cluster_stop "$WORK"
	echo "dbperf.latest_cache_size = ${1}kB" >>"$WORK/data/postgresql.conf"
	cluster_start "$WORK"
	query bench "SELECT sum(pg_prewarm(c.oid)) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid" >/dev/null
	measure "function_$2" function "$CALLS"
	measure "function3_$2" function3 "$CALLS"
	measure floor floor "$CALLS"
	measure lateral lateral "$((CALLS / 10 + 1))"
	measure distinct distinct "$((CALLS / 500 + 1))"
}

percentile() { sort -n "$WORK/$1.us" | awk -v p="$2" '{v[NR] = $1} END {i = int(NR * p + 0.9999); print v[i < 1 ? 1 : i]}'; }
result() { printf '%-52s %10d %10d %10d\n' "$1" "$(percentile "$2" 0.5)" "$(percentile "$2" 0.99)" "$(wc -l <"$WORK/$2.us")"; }

say "PostgreSQL $(query postgres 'SHOW server_version'), $(nproc) cores, in $BENCH_DIR, $ROWS rows, $INSTRUMENTS instruments"
query bench "CHECKPOINT"
for ((round = 1; round <= ROUNDS; round++)); do
	turn 4096 cached
	turn 0 uncached
done
printf '\n%-52s %10s %10s %10s\n' "microseconds" p50 p99 calls
result "get_latest_market_data, cached, 3 columns" function3_cached
result "get_latest_market_data, cached, all 14 columns" function_cached
result "get_latest_market_data, no cache, 3 columns" function3_uncached
result "get_latest_market_data, no cache, all 14 columns" function_uncached
result "LATERAL join" lateral
result "DISTINCT ON" distinct
result "the same rows from a table that has no others" floor
