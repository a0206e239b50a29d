#!/bin/bash
# What traffic feels while old partitions are retired: by dbperf, by pg_partman and by a plain
# script, against nothing being retired: `make bench-retire`.
#
#   bench/retire/run.sh [mode…]     modes: rest dbperf partman plain (default: all; rest is always there)
#
# Everything runs in one private cluster, in turns, so that the ratios hold on a noisy machine although
# the milliseconds do not. Environment:
#   ROUNDS=3          windows of each mode; each round begins with another one
#   SECONDS_EACH=60   length of a window; the reader's transactions are shorter with it
#   RATE=1000         inserts and reads a second, all four clients together
#   OLD=24, ROWS=50000  partitions to be retired, and rows in each
#   BENCH_DIR=DIR     where the cluster goes (default: /dev/shm, else /var/tmp)
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
HERE="$ROOT/bench/retire"
for part in test/lib/common test/lib/deps test/lib/cluster bench/start bench/partitions/lib bench/retire/window bench/retire/report; do
	# shellcheck source=/dev/null
	. "$ROOT/$part.sh"
done
cd /

ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-60}
RATE=${RATE:-1000}
OLD=${OLD:-24}
ROWS=${ROWS:-50000}
KEPT=5 # more partitions of the past, which are read from
# shellcheck disable=SC2034 # seconds of traffic before each window that do not count
WARM_UP=2
BUDGET=200
read -ra MODES <<<"${*:-rest dbperf partman plain}"
for mode in "${MODES[@]}"; do
	case $mode in
		rest | dbperf | partman | plain) ;;
		*) die "unknown mode \"$mode\"" ;;
	esac
done
[[ " ${MODES[*]} " == *" rest "* ]] || MODES=(rest "${MODES[@]}")
# In a minute: a transaction of 10 s every 15 s, and a statement every 0.67 s for 48 s.
READ_SECONDS=$(awk -v s="$SECONDS_EACH" 'BEGIN {print s / 6}')
READ_PAUSE=$(awk -v s="$SECONDS_EACH" 'BEGIN {print s / 12}')
PACE=$(awk -v s="$SECONDS_EACH" -v old="$OLD" 'BEGIN {print 0.8 * s / (3 * old)}')

begin_bench "postgresql-$PGMAJOR-partman"

cluster_init "$WORK" "shared_preload_libraries = 'tradeassist_dbperf'" "timezone = UTC" "shared_buffers = 2GB" \
	"max_locks_per_transaction = 256" "max_wal_size = 4GB" "jit = off" "autovacuum = off"
cluster_start "$WORK"
run_psql -d postgres -c "CREATE DATABASE base"
for file in "$ROOT/bench/partitions/tables.sql" "$HERE/tables.sql"; do
	run_psql -d base -v old="$OLD" -v kept="$KEPT" -v rows="$ROWS" -f "$file" >/dev/null
done
query base "SELECT name, bound, upper FROM old_partitions ORDER BY nr" >"$WORK/old_partitions"
# shellcheck disable=SC2034 # for the windows
TODAY=$(query base "SELECT extract(epoch FROM upper)::bigint + 86400 * $KEPT FROM old_partitions ORDER BY nr DESC LIMIT 1")

say "PostgreSQL $(query postgres 'SHOW server_version'), $(nproc) cores, in $BENCH_DIR"
say "dbperf $(query postgres "SELECT default_version FROM pg_available_extensions WHERE name = 'tradeassist_dbperf'")," \
	"pg_partman $(query postgres "SELECT default_version FROM pg_available_extensions WHERE name = 'pg_partman'")"
say "windows of $SECONDS_EACH s, $ROUNDS of each mode in turns: $RATE transactions a second from 4 clients, half of them single-row"
say "inserts, half reads of one row, beside a reader whose transactions of $READ_SECONDS s are $READ_PAUSE s apart, while $OLD"
say "partitions of $ROWS rows are detached, attached again and dropped, one step every $PACE s."
say "late: done more than $BUDGET ms after it was due; waited: more than $BUDGET ms after it was sent"

for ((round = 0; round < ROUNDS; round++)); do
	for ((turn = 0; turn < ${#MODES[@]}; turn++)); do
		window "${MODES[(turn + round) % ${#MODES[@]}]}" "$round"
	done
done
report_latency insert
report_latency read
report_retired
