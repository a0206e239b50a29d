# shellcheck shell=bash
# shellcheck disable=SC2153 # ROWS is of run.sh
# One connection, one mode after another, into an empty table each time.

load_rows()
{
	case $1 in
		values_1 | literals_1) echo "$SINGLE_ROWS" ;;
		values_* | literals_*) echo "$VALUES_ROWS" ;;
		*) echo "$ROWS" ;;
	esac
}

# check_rows SOURCE TARGET ROWS MODE: every way must have left the same rows behind.
declare -A LOADED=()
check_rows()
{
	local sum key="$1.$2.$3"
	sum=$(query bench "SELECT count(*), sum(hash_record(ROW(\"timestamp\", instrument_id, price, volume, bid, ask,
		bid_size, ask_size, open_price, high_price, low_price))::bigint) FROM $2.market_data")
	[ "${sum%|*}" = "$3" ] || die "$4 left ${sum%|*} rows in $2, not $3"
	: "${LOADED[$key]:=$sum}"
	[ "$sum" = "${LOADED[$key]}" ] || die "$4 left other rows in $2 than the mode before it"
}

# load_once SOURCE TARGET MODE: the checkpoint keeps full-page images of what was there before, and
# its own work, out of what is measured.
load_once()
{
	local figures rows seconds cpu wal images
	query bench "TRUNCATE $2.market_data"
	query bench "CHECKPOINT"
	figures=$(feed load "$2.market_data" "$3" "$WORK/$1.${2#*_}" "$(load_rows "$3")")
	[ -z "${RAW:-}" ] || echo "load $1 $2 $3 $figures" >>"$RAW"
	read -r rows seconds cpu wal images <<<"$figures"
	[ "$round" -gt 0 ] || check_rows "$1" "$2" "$rows" "$3"
	record "$1.$2.$3.rate" "$(awk -v n="$rows" -v s="$seconds" 'BEGIN {print n / s}')"
	record "$1.$2.$3.cpu" "$(awk -v n="$rows" -v s="$cpu" 'BEGIN {print s * 1e6 / n}')"
	record "$1.$2.$3.wal" "$(awk -v n="$rows" -v b="$wal" 'BEGIN {print b / n}')"
	# of 8 kB each at most
	record "$1.$2.$3.images" "$(awk -v n="$images" -v b="$wal" 'BEGIN {print 100 * n * 8192 / b}')"
}

load()
{
	local round source target turn
	say "load: $ROWS rows, $VALUES_ROWS of multi-row VALUES, $SINGLE_ROWS of single-row INSERT; $ROUNDS rounds, medians"
	for ((round = 0; round < ROUNDS; round++)); do
		for source in "${SOURCES[@]}"; do
			for target in "${TARGETS[@]}"; do
				for ((turn = 0; turn < ${#MODES[@]}; turn++)); do
					# a third of the way on each time
					load_once "$source" "$target" "${MODES[(turn + round * (${#MODES[@]} / 3 + 1)) % ${#MODES[@]}]}"
				done
			done
		done
	done
	for source in "${SOURCES[@]}"; do
		for target in "${TARGETS[@]}"; do
			report_load "$source" "$target"
		done
	done
	report_targets
}
