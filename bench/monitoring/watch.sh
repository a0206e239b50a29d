# shellcheck shell=bash
# The sampler and the health functions, in a database with a table of many partitions.

make_watched()
{
	[ ! -e "$WORK/watched" ] || return 0
	make_server watched tradeassist_dbperf "${OURS[@]}"
	cluster_start "$WORK/watched"
	on watched "CREATE TABLE ticks (at timestamptz NOT NULL, instrument_id int NOT NULL, price float8, PRIMARY KEY (at, instrument_id)) PARTITION BY RANGE (at)"
	on watched "SELECT dbperf.manage('ticks', '1 day', premake => 10)" >/dev/null
	# ten ahead, the current one, and the rest behind
	on watched "CALL dbperf.backfill('ticks', (date_trunc('day', now(), 'UTC') - interval '$((PARTITIONS - 11)) days')::text, now()::text)" >/dev/null
	on watched "SELECT dbperf.start_monitoring('10 s')"
	wait_for_sample 2
}

# wait_for_sample COUNT: until the sampler has taken that many more
wait_for_sample()
{
	local samples
	samples=$(on watched "SELECT samples FROM dbperf.monitoring_status")
	until [ "$(on watched "SELECT samples >= $samples + $1 FROM dbperf.monitoring_status")" = t ]; do sleep 0.2; done
}

# busy COMMAND…: while pgbench keeps the server busy
busy()
{
	local load status=0
	bench watched -b tpcb-like -c "$CLIENTS" -j "$CLIENTS" -T 86400 >/dev/null 2>&1 &
	load=$!
	"$@" || status=$?
	on watched "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'pgbench'" >/dev/null
	wait "$load" || true
	return "$status"
}

# sampler_share TITLE: percent of one core that the process took over WINDOW seconds
sampler_share()
{
	local pid ticks samples started
	pid=$(on watched "SELECT pid FROM dbperf.sampler_process()")
	wait_for_sample 1
	samples=$(on watched "SELECT samples FROM dbperf.monitoring_status")
	started=$EPOCHREALTIME
	ticks=$(awk '{print $14 + $15}' "/proc/$pid/stat")
	sleep "$WINDOW"
	ticks=$(($(awk '{print $14 + $15}' "/proc/$pid/stat") - ticks))
	samples=$(($(on watched "SELECT samples FROM dbperf.monitoring_status") - samples))
	awk -v title="$1" -v ticks="$ticks" -v hz="$(getconf CLK_TCK)" -v from="$started" -v to="$EPOCHREALTIME" -v samples="$samples" 'BEGIN {
		printf "%-8s %8.3f %%  %6.1f ms  %6d\n", title, 100 * ticks / hz / (to - from), samples ? 1000 * ticks / hz / samples : 0, samples }'
}

sampler()
{
	make_watched
	say ""
	say "the sampler every 10 s, $(on watched "SELECT count(*) FROM dbperf.partitions WHERE parent = 'ticks'::regclass") partitions"
	printf '%-8s %10s  %9s  %6s\n' "" "of a core" "a sample" samples
	sampler_share idle
	busy sampler_share busy
}

# calls_of FUNCTION: microseconds of each, of a client of its own
calls_of()
{
	echo "SELECT dbperf.$1();" >"$WORK/call.sql"
	rm -f "$WORK"/log.*
	bench watched -f "$WORK/call.sql" -c 1 -t "$CALLS" -l --log-prefix="$WORK/log" >/dev/null 2>&1
	awk '{print $3}' "$WORK"/log.* >"$WORK/$1.us"
	# what runs beside busy() does not end by itself when a command fails
	[ "$(wc -l <"$WORK/$1.us")" = "$CALLS" ] || die "not every call of $1() was answered"
}

health_row()
{
	local first
	calls_of "$1"
	first=$(head -n 1 "$WORK/$1.us")
	sort -n "$WORK/$1.us" | awk -v title="$1" -v state="$2" -v first="$first" '{v[NR] = $1 / 1000} END {
		printf "%-20s %-6s %8.1f %8.1f %8.1f %8.1f\n", title, state, v[int(NR * 0.5 + 0.9999)], v[int(NR * 0.99 + 0.9999)], v[NR], first / 1000 }'
}

health()
{
	local function
	make_watched
	say ""
	printf '%-20s %-6s %8s %8s %8s %8s\n' "ms, $CALLS calls" "" p50 p99 highest first
	for function in health_database health_performance health_partitions; do
		health_row "$function" idle
		busy health_row "$function" busy
	done
}
