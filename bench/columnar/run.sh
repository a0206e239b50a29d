#!/bin/bash
# Columnar storage: how small tables get, how fast they are written, and the encoding of doubles against
# published figures: `make bench-columnar`.
#
#   bench/columnar/run.sh [part…]     parts: alp size speed (default: all)
#
# What is compared comes from one run: sizes of the same rows; times in turns, in one private cluster, with
# all that is read in memory and without parallel workers. Environment:
#   ROWS=10000000        rows of the generator, and at most of the real quotes; fewer take less than a month
#   INSTRUMENTS=100      of the generator
#   SOURCES='generated real'   real: quotes of
#   QUOTES=FILE          a CSV with gzip (default: quotes_2014-05.csv.gz in ../shared/data, left out where it is not)
#   ALP_DIR=DIR          samples of the paper on ALP (default: ../shared/data/alp, left out where it is not)
#   LEVELS='3 19'        of zstd; 19 takes a quarter of an hour for 10 million rows
#   ROUNDS=3             turns of speed
#   MEMORY='64MB 1GB'    settings of maintenance_work_mem
#   INDEXES='without with'     speed: of a table without indexes, and with two
#   WAL_LEVEL=replica    of the server
#   SHARED_BUFFERS=4GB   that the table fits into
#   RAW=FILE             also write there what every turn of speed measured
#   INSTALLED=1          measure what the PostgreSQL of PG_CONFIG has installed; do not build or install
#   BENCH_DIR=DIR        where the cluster goes (default: /dev/shm, else /var/tmp)
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
HERE="$ROOT/bench/columnar"
for part in test/lib/common test/lib/deps test/lib/cluster bench/start bench/partitions/lib \
	bench/columnar/alp bench/columnar/size bench/columnar/speed; do
	# shellcheck source=/dev/null
	. "$ROOT/$part.sh"
done
for name in RAW QUOTES ALP_DIR; do
	[ -z "${!name:-}" ] || declare "$name=$(realpath -m -- "${!name}")"
done
cd /

ROWS=${ROWS:-10000000}
INSTRUMENTS=${INSTRUMENTS:-100}
ROUNDS=${ROUNDS:-3}
QUOTES=${QUOTES:-$ROOT/../shared/data/quotes_2014-05.csv.gz}
ALP_DIR=${ALP_DIR:-$ROOT/../shared/data/alp}
SHARED_BUFFERS=${SHARED_BUFFERS:-4GB}
WAL_LEVEL=${WAL_LEVEL:-replica}
# shellcheck disable=SC2034 # for the parts
read -ra LEVELS <<<"${LEVELS:-3 19}"
# shellcheck disable=SC2034
read -ra MEMORY <<<"${MEMORY:-64MB 1GB}"
read -ra INDEXES <<<"${INDEXES:-without with}"
read -ra SOURCES <<<"${SOURCES:-generated real}"
read -ra PARTS <<<"${*:-alp size speed}"
for part in "${PARTS[@]}"; do
	case $part in
		alp | size | speed) ;;
		*) die "unknown part \"$part\"" ;;
	esac
done
for indexes in "${INDEXES[@]}"; do
	case $indexes in
		without | with) ;;
		*) die "INDEXES are without and with, not \"$indexes\"" ;;
	esac
done
for source in "${SOURCES[@]}"; do
	case $source in
		generated | real) ;;
		*) die "unknown source \"$source\"" ;;
	esac
done

begin_bench zstd
program() { env -u PG_CONFIG make -s -C "$ROOT" "bench/columnar/$1"; }

# The key that tables are sorted by, as SQL and as compress_partition() takes it
# shellcheck disable=SC2034
KEY='instrument_id, "timestamp"' KEY_ARRAY="'{instrument_id,timestamp}'"

rows_of() { query bench "SELECT count(*) FROM $1"; }
thousands() { printf '%d' "$1" | sed ':a; s/^\([0-9]\+\)\([0-9]\{3\}\)/\1,\2/; ta'; }

# load SOURCE: makes the table of this name, its rows in the order in which they came.
load()
{
	case $1 in
		generated) "$HERE/ticks" "$ROWS" "$INSTRUMENTS" 1 ;;
		# gzip is cut short when there are more rows than are wanted
		real) gzip -dc "$QUOTES" 2>/dev/null | tail -n +2 | head -n "$ROWS" || true ;;
	esac | run_psql -d bench -c "COPY $1 FROM STDIN (FORMAT csv)"
	query bench "VACUUM (FREEZE, ANALYZE) $1"
}

# Any two of 28 bytes an entry will do: most tables of ticks have these.
make_indexes() { query bench "CREATE INDEX ON $1 (\"timestamp\", instrument_id); CREATE INDEX ON $1 (instrument_id, \"timestamp\")"; }

start_cluster()
{
	program ticks
	program entropy
	cluster_init "$WORK" "shared_preload_libraries = 'tradeassist_dbperf'" "dbperf.enabled = off" "timezone = UTC" \
		"shared_buffers = $SHARED_BUFFERS" "max_wal_size = 16GB" "checkpoint_timeout = 1h" "wal_level = $WAL_LEVEL" \
		"max_wal_senders = 0" "jit = off" "autovacuum = off" "max_parallel_workers_per_gather = 0" \
		"max_parallel_maintenance_workers = 0"
	cluster_start "$WORK"
	query postgres "CREATE DATABASE bench"
	run_psql -d bench -f "$HERE/tables.sql" >/dev/null
	for source in "${SOURCES[@]}"; do
		[ "$source" != real ] || [ -r "$QUOTES" ] || continue
		load "$source"
		LOADED+=("$source")
	done
}

LOADED=()
say "$("$PG_CONFIG" --version), $(nproc) cores, in $BENCH_DIR, wal_level = $WAL_LEVEL, $ROWS rows"
[[ ! " ${SOURCES[*]} " == *" real "* ]] || [ -r "$QUOTES" ] || say "left out: real quotes, there is no $QUOTES"
[ "${PARTS[*]}" = alp ] || start_cluster
for part in "${PARTS[@]}"; do
	"$part"
done
