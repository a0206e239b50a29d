# shellcheck shell=bash
# What four clients feel that insert single rows into market_data, foreign keys and all, while
# partitions are made beside them one after another; and when none are.

# A window of traffic in a copy of a database: KIND is rest, dbperf or partman.
traffic_window()
{
	local kind=$1 round=$2 maker=
	copy_database "traffic_${kind/rest/dbperf}" work
	if [ "$kind" != rest ]; then
		traffic_maker "$kind" | run_psql -d work >/dev/null 2>"$WORK/maker.log" &
		maker=$!
	fi
	(cd "$WORK" && pgbench -h "$WORK" -U postgres -n -c 4 -j 2 -T "$SECONDS_EACH" -R "$RATE" -M prepared \
		-f "$HERE/insert.sql" -l --log-prefix="window.$kind.$round" work) >"$WORK/pgbench.log" 2>&1 ||
		die "pgbench failed: $(tail -n 3 "$WORK/pgbench.log")"
	if [ -n "$maker" ]; then
		wait "$maker" || die "making partitions failed: $(tail -n 3 "$WORK/maker.log")"
	fi
	record "traffic.$kind.made" "$(query work "SELECT count(*) - $TRAFFIC_BEFORE FROM pg_inherits WHERE inhparent = 'market_data'::regclass")"
	traffic_record "$kind" "$round"
	drop_database work
}

# One more partition, twenty times a second: by each tool's own call, a transaction for each.
traffic_maker()
{
	local n
	echo "SELECT clock_timestamp() AS start \\gset"
	for ((n = 1; n <= SECONDS_EACH * 20; n++)); do
		if [ "$1" = dbperf ]; then
			echo "UPDATE dbperf.policy SET premake = 4 + $n WHERE parent = 'market_data'::regclass;"
			echo "CALL dbperf.maintain('market_data');"
		else
			echo "UPDATE partman.part_config SET premake = 4 + $n;"
			echo "SELECT partman.run_maintenance('public.market_data', p_analyze := false);"
		fi
		echo "SELECT pg_sleep(greatest(0, extract(epoch FROM :'start'::timestamptz + interval '0.05 s' * $n - clock_timestamp())));"
	done
}

# pgbench logs the latency of each insert in microseconds, from when it was due.
traffic_record()
{
	local kind=$1 figures
	figures=$(cat "$WORK/window.$kind.$2".* | awk '{print $3}' | sort -n | awk '
		{v[NR] = $1; over += $1 > 200000}
		END {print v[int(NR * 0.5) + 1] / 1000, v[int(NR * 0.99) + 1] / 1000, v[NR] / 1000, NR, over + 0}')
	read -r p50 p99 max inserts over <<<"$figures"
	record "traffic.$kind.p50" "$p50"
	record "traffic.$kind.p99" "$p99"
	record "traffic.$kind.max" "$max"
	record "traffic.$kind.inserts" "$inserts"
	record "traffic.$kind.over" "$over"
	rm -f "$WORK/window.$kind.$2".*
}

sum() { awk '{s += $1} END {print s}' "$WORK/$1.times"; }
highest() { sort -g "$WORK/$1.times" | tail -n 1; }

traffic_row()
{
	awk -v title="$2" -v p50="$(median "traffic.$1.p50")" -v p99="$(median "traffic.$1.p99")" \
		-v max="$(median "traffic.$1.max")" -v highest="$(highest "traffic.$1.max")" \
		-v inserts="$(sum "traffic.$1.inserts")" -v over="$(sum "traffic.$1.over")" \
		-v made="$(sum "traffic.$1.made")" \
		-v r50="$(median traffic.rest.p50)" -v r99="$(median traffic.rest.p99)" 'BEGIN {
		printf "%-28s %6.2f ms (%.1fx) %6.2f ms (%.1fx) %7.1f ms %7.1f ms %8d %7d %6d\n",
			title, p50, p50 / r50, p99, p99 / r99, max, highest, inserts, over, made
	}'
}

traffic()
{
	local round tool
	for tool in dbperf partman; do
		new_database "traffic_$tool"
		run_psql -d "traffic_$tool" -f "$HERE/market_$tool.sql" >/dev/null
	done
	TRAFFIC_BEFORE=$(query traffic_dbperf "SELECT count(*) FROM pg_inherits WHERE inhparent = 'market_data'::regclass")
	for ((round = 0; round < WINDOWS; round++)); do
		traffic_window rest "$round.a"
		traffic_window dbperf "$round"
		traffic_window rest "$round.b"
		traffic_window partman "$round"
	done

	printf '\n%-28s %17s %17s %10s %10s %8s %7s %6s\n' "single-row inserts" "p50 (to rest)" "p99 (to rest)" \
		"max median" "highest" inserts ">200ms" made
	traffic_row rest "at rest"
	traffic_row dbperf "while dbperf makes them"
	traffic_row partman "while pg_partman makes them"
}
