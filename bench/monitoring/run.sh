#!/bin/bash
# What monitoring costs: statements with and without the hooks, the sampler, the health functions:
# `make bench-monitoring`.
#
#   bench/monitoring/run.sh [part…]     parts: load sampler health (default: all)
#
# load: pgbench against three private clusters in turns, in another order each round: without the
# library, with it, and with pg_stat_statements instead. Only one of them runs at a time. Environment:
#   ROUNDS=12            rounds of load; in each, every server has a turn with each workload
#   DURATION=10          seconds of a turn
#   CLIENTS=2, SCALE=10  of pgbench
#   WORKLOADS='select tpcb'
#   PARTITIONS=1000      that sampler and health look after
#   WINDOW=120           seconds that the sampler is watched, idle and busy
#   CALLS=2000           calls of each health function
#   RAW=FILE             also write there what every turn of load measured
#   INSTALLED=1          measure what the PostgreSQL of PG_CONFIG has installed; do not build or install
#   BENCH_DIR=DIR        where the clusters go (default: /dev/shm, else /var/tmp)
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
for part in test/lib/common test/lib/deps test/lib/cluster bench/start bench/monitoring/load bench/monitoring/watch; do
	# shellcheck source=/dev/null
	. "$ROOT/$part.sh"
done
[ -z "${RAW:-}" ] || RAW=$(realpath -m -- "$RAW")
cd /

ROUNDS=${ROUNDS:-12}
DURATION=${DURATION:-10}
CLIENTS=${CLIENTS:-2}
SCALE=${SCALE:-10}
PARTITIONS=${PARTITIONS:-1000}
WINDOW=${WINDOW:-120}
CALLS=${CALLS:-2000}
read -ra WORKLOADS <<<"${WORKLOADS:-select tpcb}"
read -ra PARTS <<<"${*:-load sampler health}"
for part in "${PARTS[@]}"; do
	case $part in
		load | sampler | health) ;;
		*) die "unknown part \"$part\"" ;;
	esac
done
for workload in "${WORKLOADS[@]}"; do
	case $workload in
		select | tpcb) ;;
		*) die "unknown workload \"$workload\"" ;;
	esac
done

begin_bench

on() { PGOPTIONS="-c client_min_messages=warning" psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$WORK/$1" -U postgres -d bench -c "$2"; }
bench() { as_postgres "$PGBIN/pgbench" -n -M prepared -h "$WORK/$1" -U postgres "${@:2}" bench; }

# make_server NAME EXTENSION [setting…]: with the tables of pgbench; it is left stopped.
make_server()
{
	local name=$1 extension=$2
	shift 2
	as_postgres mkdir "$WORK/$name"
	cluster_init "$WORK/$name" "timezone = UTC" "shared_buffers = 1GB" "max_wal_size = 8GB" "checkpoint_timeout = 1h" \
		"jit = off" "autovacuum = off" "fsync = off" "$@"
	cluster_start "$WORK/$name"
	psql -X -q -h "$WORK/$name" -U postgres -d postgres -c "CREATE DATABASE bench"
	as_postgres "$PGBIN/pgbench" -i -q -s "$SCALE" -h "$WORK/$name" -U postgres bench >/dev/null 2>&1
	on "$name" "CREATE EXTENSION pg_prewarm"
	[ -z "$extension" ] || on "$name" "CREATE EXTENSION $extension"
	cluster_stop "$WORK/$name"
}

# shellcheck disable=SC2034 # for the parts
OURS=("shared_preload_libraries = 'tradeassist_dbperf'")

say "$("$PG_CONFIG" --version), $(nproc) cores, in $BENCH_DIR"
for part in "${PARTS[@]}"; do
	"$part"
done
