#!/bin/bash
# Inserting ticks: bulk_insert() against single-row INSERT, multi-row VALUES, INSERT … SELECT unnest
# and COPY, and under many clients: `make bench-ingest`.
#
#   bench/ingest/run.sh [part…]     parts: load sustained (default: both)
#
# Everything that is compared runs in one private cluster, in turns, so that the ratios hold on a
# noisy machine although the milliseconds do not. Environment:
#   ROUNDS=3             rounds of load; in each, the modes come in another order
#   ROWS=500000          rows of a run, but
#   VALUES_ROWS=100000   of multi-row VALUES and
#   SINGLE_ROWS=20000    of single-row INSERT
#   ONLY='bulk_1000 …'   these modes (feed.c says what there may be), of load unless a part is named
#   TARGETS='plain_1 plain_12 full_1 full_12'   the two indexes only, or all of market_data; partitions
#   SOURCES='real generated'   quotes; real ones where they are at hand
#   WINDOWS=3, SECONDS_EACH=60, CLIENTS=64   of sustained: windows of each mode
#   RAW=FILE             also write there what every run measured
#   INSTALLED=1          measure what the PostgreSQL of PG_CONFIG has installed; do not build or install
#   BENCH_DIR=DIR        where the cluster goes (default: /dev/shm, else /var/tmp)
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
HERE="$ROOT/bench/ingest"
for part in test/lib/common test/lib/deps test/lib/cluster bench/start bench/partitions/lib \
	bench/ingest/load bench/ingest/sustained bench/ingest/report; do
	# shellcheck source=/dev/null
	. "$ROOT/$part.sh"
done
[ -z "${RAW:-}" ] || RAW=$(realpath -m -- "$RAW")
cd /

ROUNDS=${ROUNDS:-3}
ROWS=${ROWS:-500000}
VALUES_ROWS=${VALUES_ROWS:-100000}
SINGLE_ROWS=${SINGLE_ROWS:-20000}
WINDOWS=${WINDOWS:-3}
SECONDS_EACH=${SECONDS_EACH:-60}
CLIENTS=${CLIENTS:-64}
# Quotes of May 2014, where they are at hand.
REAL_TICKS="$ROOT/../shared/data/quotes_2014-05.csv.gz"
if [ -z "${SOURCES:-}" ]; then
	SOURCES=generated
	[ ! -r "$REAL_TICKS" ] || SOURCES="real generated"
fi
read -ra SOURCES <<<"$SOURCES"
read -ra TARGETS <<<"${TARGETS:-plain_1 plain_12 full_1 full_12}"
# shellcheck disable=SC2034 # for the parts
read -ra MODES <<<"${ONLY:-values_1 literals_1 values_1000 literals_1000 unnest_1000 unnest_10000 copytext copybinary copybinary_1000 bulk_1000 bulk_10000 bulk_10000x1000 market_1000 market_10000}"
# shellcheck disable=SC2034
read -ra SUSTAINED_MODES <<<"${ONLY:-values_20 unnest_20 market_20}"
default_parts="load sustained"
[ -z "${ONLY:-}" ] || default_parts=load
read -ra PARTS <<<"${*:-$default_parts}"
for part in "${PARTS[@]}"; do
	case $part in
		load | sustained) ;;
		*) die "unknown part \"$part\"" ;;
	esac
done
for target in "${TARGETS[@]}"; do
	case $target in
		plain_1 | plain_12 | full_1 | full_12) ;;
		*) die "unknown target \"$target\"" ;;
	esac
done

begin_bench libpq-dev
# any libpq will do for the client
env -u PG_CONFIG make -s -C "$ROOT" bench/ingest/feed bench/ticks/tickgen

# feed KIND TABLE MODE FILE …
feed()
{
	local kind=$1
	shift
	"$ROOT/bench/ingest/feed" "$kind" "host=$WORK user=postgres dbname=bench" "$@"
}

# quotes SOURCE: gzip is cut short when there are more rows than are wanted.
quotes()
{
	case $1 in
		real) gzip -dc "$REAL_TICKS" 2>/dev/null || true ;;
		generated) "$ROOT/bench/ticks/tickgen" --rows="$ROWS" --instruments=100 ;;
		*) die "unknown source \"$1\"" ;;
	esac
}

for source in "${SOURCES[@]}"; do
	for months in 1 12; do
		"$ROOT/bench/ingest/feed" prepare "$ROWS" "$months" < <(quotes "$source") >"$WORK/$source.$months"
	done
done

# Checkpoints come when they are asked for, and nothing else runs.
cluster_init "$WORK" "shared_preload_libraries = 'tradeassist_dbperf'" "dbperf.enabled = off" "timezone = UTC" \
	"shared_buffers = 2GB" "max_connections = $((CLIENTS + 20))" "max_wal_size = 4GB" "checkpoint_timeout = 1h" \
	"synchronous_commit = on" "jit = off" "autovacuum = off"
cluster_start "$WORK"
run_psql -d postgres -c "CREATE DATABASE bench"
run_psql -d bench -f "$HERE/tables.sql" >/dev/null

say "PostgreSQL $(query postgres 'SHOW server_version'), $(nproc) cores, in $BENCH_DIR"
say "dbperf $(query postgres "SELECT default_version FROM pg_available_extensions WHERE name = 'tradeassist_dbperf'")," \
	"synchronous_commit = $(query postgres 'SHOW synchronous_commit'), fsync = $(query postgres 'SHOW fsync')," \
	"full_page_writes = $(query postgres 'SHOW full_page_writes')"
for part in "${PARTS[@]}"; do
	"$part"
done
