#!/bin/bash
# Partition maintenance against pg_partman, and what traffic feels of it: `make bench-partitions`.
#
#   bench/partitions/run.sh [part…]     parts: idle create traffic (default: all three)
#
# Everything that is compared runs in one private cluster, in turns, so that the ratios hold on a
# noisy machine although the milliseconds do not. Environment:
#   ROUNDS=7         rounds of idle and create
#   WINDOWS=5        windows of each kind for traffic
#   SECONDS_EACH=8   length of a window
#   RATE=1000        inserts a second, all four clients together
#   BENCH_DIR=DIR    where the cluster goes (default: /dev/shm, else /var/tmp). A RAM disk keeps the
#                    file system out of it: ext4 makes files at half the speed for minutes after
#                    others were removed.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck disable=SC2034 # for the parts
HERE="$ROOT/bench/partitions"
for part in test/lib/common test/lib/deps test/lib/cluster bench/start bench/partitions/lib \
	bench/partitions/idle bench/partitions/create bench/partitions/traffic; do
	# shellcheck source=/dev/null
	. "$ROOT/$part.sh"
done
cd /

ROUNDS=${ROUNDS:-7}
WINDOWS=${WINDOWS:-5}
SECONDS_EACH=${SECONDS_EACH:-8}
RATE=${RATE:-1000}
read -ra PARTS <<<"${*:-idle create traffic}"
for part in "${PARTS[@]}"; do
	case $part in
		idle | create | traffic) ;;
		*) die "unknown part \"$part\"" ;;
	esac
done

begin_bench "postgresql-$PGMAJOR-partman"

# The worker is off so that only what is measured makes partitions; both are preloaded, as both
# manuals say.
cluster_init "$WORK" "shared_preload_libraries = 'tradeassist_dbperf, pg_partman_bgw'" \
	"dbperf.enabled = off" "shared_buffers = 512MB" "max_locks_per_transaction = 1024" \
	"max_wal_size = 4GB" "jit = off" "autovacuum = off"
cluster_start "$WORK"

say "PostgreSQL $(query postgres 'SHOW server_version'), $(nproc) cores, in $BENCH_DIR"
say "dbperf against pg_partman $(query postgres "SELECT default_version FROM pg_available_extensions WHERE name = 'pg_partman'")"
for part in "${PARTS[@]}"; do
	"$part"
done
