# shellcheck shell=bash
# One window: traffic on a fresh copy of the table, a reader with long transactions, and somebody who
# retires the old partitions, or nobody.

# What is done to a partition: NAME BOUND UPPER. It becomes due at that moment for the two that go
# by age, as if time had passed; the partition after it is a day younger.
plain_detach() { echo "ALTER TABLE ticks DETACH PARTITION $1;"; }
plain_attach() { echo "ALTER TABLE ticks ATTACH PARTITION $1 $2;"; }
plain_drop() { echo "DROP TABLE $1;"; }

partman_run()
{
	echo "UPDATE partman.part_config SET retention = (now() - '$1' - interval '1 s')::text, $2;"
	echo "SELECT partman.run_maintenance('public.ticks', p_analyze := false);"
}
partman_detach() { partman_run "$3" "retention_keep_table = true, retention_schema = 'archive'"; }
partman_attach()
{
	echo "ALTER TABLE archive.$1 SET SCHEMA public;"
	plain_attach "$@"
}
partman_drop() { partman_run "$3" "retention_keep_table = false, retention_schema = NULL"; }

dbperf_detach() { echo "SELECT dbperf.alter_policy('ticks', detach_after => (now() - '$3')::text), dbperf.wake();"; }
dbperf_attach() { echo "SELECT dbperf.attach_partition('public_archive.$1', '0');"; }
dbperf_drop() { echo "SELECT dbperf.alter_policy('ticks', drop_after => (now() - '$3')::text), dbperf.wake();"; }

# Statements come at their time, whether or not those before them are through: a script that had
# to wait makes up for it. No sleep in SQL: it would hold a snapshot.
retire_script()
{
	local phase name bound upper
	for phase in detach attach drop; do
		if [ "$1 $phase" = "dbperf attach" ]; then
			# the others wait for the last one by themselves
			echo "CALL wait_until_detached();"
			echo "SELECT dbperf.alter_policy('ticks', detach_after => 'never');"
		fi
		[ "$phase" = detach ] || echo "SELECT 'progress', attached, there FROM progress;"
		while IFS='|' read -r name bound upper; do
			"$1_$phase" "$name" "$bound" "$upper"
			sleep "$PACE"
		done <"$WORK/old_partitions"
	done
}

# It reads from every partition, so that it holds a lock on each.
reader_script()
{
	while :; do
		echo "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM ticks LIMIT 1; SELECT pg_sleep($READ_SECONDS); COMMIT;"
		echo "\\! sleep $READ_PAUSE"
	done
}

# end_session PID APPLICATION: status 1 if it had to be ended.
end_session()
{
	local unfinished=0
	! kill -0 "$1" 2>/dev/null || unfinished=1
	query work "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '$2'" >/dev/null
	wait "$1" || [ "$unfinished" = 1 ] || die "$2 failed: $(tail -n 3 "$WORK/$2.log")"
	return "$unfinished"
}

# window MODE ROUND
window()
{
	local mode=$1 bench reader retire='' from
	run_psql -d postgres -c "CREATE DATABASE work TEMPLATE base STRATEGY file_copy"
	if [ "$mode" = dbperf ]; then
		query work "SET client_min_messages = warning; CREATE EXTENSION tradeassist_dbperf"
		query work "SELECT dbperf.manage('ticks', premake => 4, recycle_for => '0')" >/dev/null
	fi
	(cd "$WORK" && exec pgbench -h "$WORK" -U postgres -n -c 4 -j 2 -T $((WARM_UP + SECONDS_EACH)) -R "$RATE" -M prepared \
		-D today="$TODAY" -D kept="$KEPT" -D rows="$ROWS" -f "$HERE/insert.sql" -f "$HERE/read.sql" \
		-l --log-prefix="window.$mode" work) >"$WORK/pgbench.log" 2>&1 &
	bench=$!
	from=$((EPOCHSECONDS + WARM_UP))
	sleep "$WARM_UP"
	reader_script 2>/dev/null | PGAPPNAME=reader run_psql -d work >/dev/null 2>"$WORK/reader.log" &
	reader=$!
	if [ "$mode" != rest ]; then
		retire_script "$mode" | PGAPPNAME=retire run_psql -d work >"$WORK/retire.out" 2>"$WORK/retire.log" &
		retire=$!
	fi
	wait "$bench" || die "pgbench failed beside $mode: $(tail -n 3 "$WORK/pgbench.log")"
	if [ -n "$retire" ]; then
		end_session "$retire" retire || say "round $2, $mode: not through with its statements when the time was up"
		query work "SELECT 'progress', attached, there FROM progress" >>"$WORK/retire.out"
		window_progress "$mode"
	fi
	end_session "$reader" reader || true
	record "$mode.failed" "$(sed -n 's/^number of failed transactions: \([0-9]*\) .*/\1/p' "$WORK/pgbench.log")"
	window_latency "$mode" insert 0 "$from"
	window_latency "$mode" read 1 "$from"
	rm -f "$WORK/window.$mode".*
	drop_database work
}

# How many were detached, attached again and dropped: from what was counted after the first phase,
# after the second and at the end. Where a phase was not reached, only the end is there.
window_progress()
{
	local detached attached dropped
	read -r detached attached dropped < <(awk -F'|' -v n="$OLD" '
		$1 == "progress" {attached[++lines] = $2; there = $3}
		END {print n - attached[1], (lines > 1 ? attached[2] - attached[1] : 0), n - there}' "$WORK/retire.out")
	record "$1.detached" "$detached"
	record "$1.attached" "$attached"
	record "$1.dropped" "$dropped"
}

# window_latency MODE KIND SCRIPT FROM: pgbench logs microseconds from when a transaction was due, and
# how many of them passed before it was sent. Late is what took longer than the budget; waited, what did
# so after it was sent.
window_latency()
{
	local name value
	while read -r name value; do
		record "$1.$2.$name" "$value"
	done < <(cat "$WORK/window.$1".* | awk -v script="$3" -v from="$4" -v budget="$BUDGET" '
		$4 == script && $3 != "failed" && $5 + ($6 - $3) / 1e6 >= from {
			print $3, ($3 - $7 > budget * 1000)
		}' | sort -n | awk -v budget="$BUDGET" '
		{v[NR] = $1 / 1000; waited += $2; late += v[NR] > budget}
		END {
			print "p50", v[int(NR * 0.5) + 1]
			print "p99", v[int(NR * 0.99) + 1]
			print "p999", v[int(NR * 0.999) + 1]
			print "max", v[NR]
			print "count", NR
			print "late", late + 0
			print "waited", waited + 0
		}')
}
