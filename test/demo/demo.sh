#!/bin/bash
# A private cluster with ticks in it, to try things on: `make demo`, `make demo-stop`.
#
#   test/demo/demo.sh start | stop
#
# It lives in .demo/cluster when the user postgres can go there, else in /var/tmp; .demo/where
# tells. Only root and postgres can connect. A second start begins anew. Environment:
#   DEMO_ROWS   ticks to load at most (default 3100000: all of the real ones)
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# postgres may not be able to be where the caller is.
cd /
for part in common deps cluster; do
	# shellcheck source=/dev/null
	. "$ROOT/test/lib/$part.sh"
done
DEMO_ROWS=${DEMO_ROWS:-3100000}
BATCH=250000
# Quotes of May 2014, where they are at hand.
REAL_TICKS="$ROOT/../shared/data/quotes_2014-05.csv.gz"
DATABASE=market
WHERE="$ROOT/.demo/where"
# Names a directory as the demo's own, so that no other is ever removed.
MARK=dbperf-demo

demo_psql() { psql -X -q -v ON_ERROR_STOP=1 -h "$CLUSTER" -U postgres -d "${DB:-$DATABASE}" "$@"; }

# A socket's path has 107 bytes at most.
choose_place()
{
	mkdir -p "$ROOT/.demo"
	CLUSTER="$ROOT/.demo/cluster"
	if [ "${#CLUSTER}" -gt 80 ] || ! runuser -u postgres -- test -x "$ROOT/.demo"; then
		CLUSTER=$(mktemp -d /var/tmp/dbperf-demo.XXXXXX)
	fi
	mkdir -p "$CLUSTER"
	touch "$CLUSTER/$MARK"
	chown postgres "$CLUSTER"
	chmod 700 "$CLUSTER"
	echo "$CLUSTER" >"$WHERE"
}

stop()
{
	[ -f "$WHERE" ] || return 1
	CLUSTER=$(cat "$WHERE")
	if [ -f "$CLUSTER/$MARK" ]; then
		if [ -f "$CLUSTER/data/postmaster.pid" ]; then
			cluster_stop "$CLUSTER" || true
		fi
		rm -rf "${CLUSTER:?}"
	fi
	rm -rf "$ROOT/.demo"
}

ticks()
{
	if [ -r "$REAL_TICKS" ]; then
		say "loading up to $DEMO_ROWS real quotes from $(basename "$REAL_TICKS")" >&2
		# gzip is cut short when there are more rows than are wanted.
		gzip -dc "$REAL_TICKS" || true
	else
		say "loading $DEMO_ROWS generated quotes" >&2
		"$ROOT/bench/ticks/tickgen" --rows="$DEMO_ROWS"
	fi
}

# The price is the mid. A transaction for each batch, and a line to see it move.
load_ticks()
{
	export CLUSTER DATABASE ROOT
	# shellcheck disable=SC2016 # awk and the inner shell expand these
	ticks | awk -F, -v max="$DEMO_ROWS" 'NR > max + 1 { exit }
			NR > 1 { printf "%s,%s,%.10g,%s,%s\n", $1, $2, ($4 + $5) / 2, $4, $5 }' |
		split -l "$BATCH" --filter='psql -X -v ON_ERROR_STOP=1 -h "$CLUSTER" -U postgres \
			-d "$DATABASE" -f "$ROOT/test/demo/load.sql"'
}

# wait_until WHAT QUERY: the worker has a minute.
wait_until()
{
	local deadline=$((SECONDS + 60)) pause=0.2
	until [ "$(demo_psql -At -c "$2")" = t ]; do
		[ "$SECONDS" -lt "$deadline" ] || {
			tail -n 20 "$CLUSTER/server.log" >&2
			die "gave up waiting: $1"
		}
		sleep "$pause"
	done
}

start()
{
	need_root
	install_for_build
	locate_postgres
	lock_install
	say "building and installing"
	make -s --no-print-directory -j2 -C "$ROOT" PG_CONFIG="$PG_CONFIG" install </dev/null >/dev/null
	make -s --no-print-directory -C "$ROOT" PG_CONFIG="$PG_CONFIG" bench/ticks/tickgen </dev/null

	! stop || say "the demo that was there is gone"
	choose_place
	say "starting PostgreSQL $PGMAJOR in $CLUSTER"
	cluster_init "$CLUSTER" "shared_preload_libraries = 'tradeassist_dbperf'" \
		"shared_buffers = 256MB" "max_wal_size = 4GB"
	cluster_start "$CLUSTER"
	unlock_install

	DB=postgres demo_psql -c "CREATE DATABASE $DATABASE"
	demo_psql -f "$ROOT/test/demo/schema.sql" </dev/null
	load_ticks
	demo_psql -c "ANALYZE"
	demo_psql -f "$ROOT/test/demo/ahead.sql" </dev/null
	wait_until "the worker to make partitions ahead" \
		"SELECT missing = 0 FROM dbperf.partition_health WHERE parent = 'market_data'::regclass"
	demo_psql -f "$ROOT/test/demo/show.sql" </dev/null
	demo_psql -f "$ROOT/test/demo/ingest.sql" </dev/null
	demo_psql -f "$ROOT/test/demo/compress.sql" </dev/null
	wait_until "the worker to compress the ticks" \
		"SELECT access_method = 'dbperf_columnar' FROM dbperf.partitions WHERE partition = 'market_data_2014_05'::regclass"
	demo_psql -f "$ROOT/test/demo/compressed.sql" </dev/null
	demo_psql -f "$ROOT/test/demo/retire.sql" </dev/null
	demo_psql -f "$ROOT/test/demo/monitor.sql" </dev/null

	say ""
	say "connect:  psql -h $CLUSTER -U postgres $DATABASE"
	say "server's log:  $CLUSTER/server.log"
	say "stop and remove:  make demo-stop"
}

case ${1:-} in
	start) start ;;
	stop)
		need_root
		[ -f "$WHERE" ] || { say "no demo is there" && exit 0; }
		locate_postgres
		stop
		say "the demo is stopped and removed"
		;;
	*) die "usage: test/demo/demo.sh start | stop" ;;
esac
