# shellcheck shell=bash
# The tables, as the README has them: medians of the windows, beside their ratios to those at rest.

title()
{
	case $1 in
		rest) echo "nothing is retired" ;;
		dbperf) echo "dbperf: policy and worker" ;;
		partman) echo "pg_partman: retention" ;;
		plain) echo "plain DETACH, ATTACH, DROP" ;;
	esac
}

sum() { awk '{s += $1} END {print s + 0}' "$WORK/$1.times"; }
highest() { sort -g "$WORK/$1.times" | tail -n 1; }

# beside_rest MODE KIND.NAME HOW: milliseconds, and how many times those at rest.
beside_rest()
{
	awk -v here="$("$3" "$1.$2")" -v rest="$("$3" "rest.$2")" 'BEGIN {
		ratio = here / rest
		printf "%." (here < 10 ? 2 : 0) "f ms (%." (ratio < 10 ? 1 : 0) "f) | ", here, ratio
	}'
}

report_latency()
{
	local mode
	printf '\n| %ss | p50 (to rest) | p99 | p99.9 | highest | of all | late | waited |\n|---|---|---|---|---|---|---|---|\n' "$1"
	for mode in "${MODES[@]}"; do
		printf '| %s | %s%s%s%s%d | %d | %d |\n' "$(title "$mode")" "$(beside_rest "$mode" "$1.p50" median)" \
			"$(beside_rest "$mode" "$1.p99" median)" "$(beside_rest "$mode" "$1.p999" median)" \
			"$(beside_rest "$mode" "$1.max" highest)" \
			"$(sum "$mode.$1.count")" "$(sum "$mode.$1.late")" "$(sum "$mode.$1.waited")"
	done
}

report_retired()
{
	local mode
	printf '\n| of %d | detached | attached again | dropped | failed inserts and reads |\n|---|---|---|---|---|\n' $((OLD * ROUNDS))
	for mode in "${MODES[@]}"; do
		[ "$mode" != rest ] || continue
		printf '| %s | %d | %d | %d | %d |\n' "$(title "$mode")" "$(sum "$mode.detached")" "$(sum "$mode.attached")" \
			"$(sum "$mode.dropped")" "$(sum "$mode.failed")"
	done
}
