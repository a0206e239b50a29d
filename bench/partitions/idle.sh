# shellcheck shell=bash
# Maintenance with nothing to do: what a timer costs all day long.

IDLE_OURS="SELECT * FROM dbperf.run_maintenance()"
IDLE_CALL="CALL dbperf.maintain()"
IDLE_THEIRS="SELECT partman.run_maintenance(p_analyze := false)"

# One new backend, which runs the statement six times: the first is cold, the last is warm.
idle_once()
{
	local ms
	mapfile -t ms < <(times "$2" "$3" 6)
	record "$1.cold" "${ms[0]}"
	record "$1.warm" "${ms[5]}"
}

idle()
{
	local tool round size
	for tool in dbperf partman; do
		new_database "idle_500_$tool"
		query "idle_500_$tool" "CALL make_managed('big', '$tool', 'day', 495)"
		new_database "idle_200_$tool"
		run_psql -d "idle_200_$tool" >/dev/null <<<"SELECT format('CALL make_managed(%L, %L, %L, 7)', 't' || i, '$tool', 'month') FROM generate_series(1, 200) i \\gexec"
	done
	for tool in dbperf partman; do
		for size in 500 200; do
			query "idle_${size}_$tool" "VACUUM ANALYZE"
		done
	done
	for ((round = 0; round < ROUNDS; round++)); do
		for size in 500 200; do
			idle_once "idle_$size.ours" "idle_${size}_dbperf" "$IDLE_OURS"
			idle_once "idle_$size.theirs" "idle_${size}_partman" "$IDLE_THEIRS"
			idle_once "idle_$size.call" "idle_${size}_dbperf" "$IDLE_CALL"
		done
	done

	heading "nothing to do" dbperf pg_partman
	for size in 500 200; do
		local title="200 parents of 12"
		[ "$size" = 200 ] || title="1 parent of 500"
		row "$title, new backend: run_maintenance()" "idle_$size.ours.cold" "idle_$size.theirs.cold" 10
		row "$title, new backend: CALL maintain()" "idle_$size.call.cold" "idle_$size.theirs.cold" 10
		row "$title, warm backend: run_maintenance()" "idle_$size.ours.warm" "idle_$size.theirs.warm" 10
		row "$title, warm backend: CALL maintain()" "idle_$size.call.warm" "idle_$size.theirs.warm" 10
	done
}
