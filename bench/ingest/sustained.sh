# shellcheck shell=bash
# Many clients with batches of 20 rows, all of them at the same end of the same partition.

SUSTAINED_TARGET=full_12

sustained_once()
{
	local figures rows seconds cpu p50 p99 max
	query bench "TRUNCATE $SUSTAINED_TARGET.market_data"
	query bench "CHECKPOINT"
	figures=$(feed sustained "$SUSTAINED_TARGET.market_data" "$1" "$WORK/${SOURCES[0]}.1" "$CLIENTS" "$SECONDS_EACH")
	[ -z "${RAW:-}" ] || echo "sustained ${SOURCES[0]} $SUSTAINED_TARGET $1 $figures" >>"$RAW"
	read -r rows seconds cpu p50 p99 max <<<"$figures"
	record "sustained.$1.rate" "$(awk -v n="$rows" -v s="$seconds" 'BEGIN {print n / s}')"
	record "sustained.$1.cpu" "$(awk -v n="$rows" -v s="$cpu" 'BEGIN {print s * 1e6 / n}')"
	record "sustained.$1.p50" "$p50"
	record "sustained.$1.p99" "$p99"
	record "sustained.$1.max" "$max"
}

sustained()
{
	local round turn count=${#SUSTAINED_MODES[@]}
	for ((round = 0; round < WINDOWS; round++)); do
		for ((turn = 0; turn < count; turn++)); do
			sustained_once "${SUSTAINED_MODES[(turn + round) % count]}"
		done
	done
	report_sustained
}
