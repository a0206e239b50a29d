# shellcheck shell=bash
# The tables, as the README has them: medians, and how many times better than others.

thousands() { printf '%d' "$1" | sed ':a; s/^\([0-9]\+\)\([0-9]\{3\}\)/\1,\2/; ta'; }

# title MODE
title()
{
	local rows=${1#*_} each=
	[[ $1 != *_* ]] || each=$(thousands "${rows%x*}")
	case $1 in
		values_1) echo "INSERT of one row, prepared" ;;
		literals_1) echo "INSERT of one row, literals" ;;
		values_*) echo "INSERT … VALUES, prepared, $each rows" ;;
		literals_*) echo "INSERT … VALUES, literals, $each rows" ;;
		unnest_*) echo "INSERT … SELECT unnest, $each rows" ;;
		copytext) echo "COPY text, all rows" ;;
		copybinary) echo "COPY binary, all rows" ;;
		copytext_*) echo "COPY text, $each rows" ;;
		copybinary_*) echo "COPY binary, $each rows" ;;
		bulk_*x*) echo "**bulk_insert**, $each rows in batches of $(thousands "${rows#*x}")" ;;
		market_*x*) echo "**bulk_insert_market_data**, $each rows in batches of $(thousands "${rows#*x}")" ;;
		bulk_*) echo "**bulk_insert**, $each rows" ;;
		market_*) echo "**bulk_insert_market_data**, $each rows" ;;
	esac
}

target_title()
{
	local what="the two indexes only" parts="1 partition"
	[[ $1 == plain_* ]] || what="all of market_data"
	[[ $1 == *_1 ]] || parts="12 partitions"
	echo "$what, $parts"
}

measured() { [ -s "$WORK/$1.times" ]; }

# better PREFIX MODE OTHER FIGURE: how many times better MODE is than OTHER; nothing when it was not
# measured. Rows a second are better when they are more, CPU and WAL when they are less.
better()
{
	measured "$1.$2.$4" && measured "$1.$3.$4" || return 0
	awk -v here="$(median "$1.$2.$4")" -v other="$(median "$1.$3.$4")" -v figure="$4" 'BEGIN {
		ratio = figure == "rate" ? here / other : other / here
		printf "%." (ratio < 10 ? 2 : 1) "f", ratio
	}'
}

# INSERT … SELECT unnest with as many rows a call
same_unnest()
{
	local rows=${1#*_}
	echo "unnest_${rows%x*}"
}

# report_load SOURCE TARGET
report_load()
{
	local mode key
	printf '\n| %s quotes: %s | rows/s | to INSERT | to unnest | to COPY binary |' "$1" "$(target_title "$2")"
	printf ' server CPU µs/row | to unnest | to COPY binary | WAL bytes/row | of it full pages, at most |\n'
	printf '|---|---|---|---|---|---|---|---|---|---|\n'
	for mode in "${MODES[@]}"; do
		key="$1.$2.$mode"
		printf '| %s | %s | %s | %s | %s | %.2f | %s | %s | %.0f | %.1f %% |\n' "$(title "$mode")" \
			"$(thousands "$(printf '%.0f' "$(median "$key.rate")")")" \
			"$(better "$1.$2" "$mode" values_1 rate)" \
			"$(better "$1.$2" "$mode" "$(same_unnest "$mode")" rate)" \
			"$(better "$1.$2" "$mode" copybinary rate)" \
			"$(median "$key.cpu")" \
			"$(better "$1.$2" "$mode" "$(same_unnest "$mode")" cpu)" \
			"$(better "$1.$2" "$mode" copybinary cpu)" \
			"$(median "$key.wal")" "$(median "$key.images")"
	done
}

# target_row SOURCE TARGET MODE OTHER FIGURE WANTED
target_row()
{
	local ratio
	ratio=$(better "$1.$2" "$3" "$4" "$5")
	[ -n "$ratio" ] || return 0
	printf '| %s, %s | %s | %s | %s | %s | %s |\n' "$1" "$2" "$(title "$3")" \
		"$(title "$4"), $([ "$5" = rate ] && echo rows/s || echo "CPU per row")" "$ratio" "$6" \
		"$(awk -v r="$ratio" -v w="$6" 'BEGIN {print (r >= w ? "met" : "**missed**")}')"
}

report_targets()
{
	local source target mode
	[[ " ${MODES[*]}" =~ \ (bulk|market)_ ]] || return 0
	printf '\n| quotes, table | | times better than | is | target | |\n|---|---|---|---|---|---|\n'
	for source in "${SOURCES[@]}"; do
		for target in "${TARGETS[@]}"; do
			for mode in "${MODES[@]}"; do
				[[ $mode == bulk_* || $mode == market_* ]] || continue
				target_row "$source" "$target" "$mode" values_1 rate 20
				target_row "$source" "$target" "$mode" literals_1 rate 20
				target_row "$source" "$target" "$mode" "$(same_unnest "$mode")" rate 1.5
				target_row "$source" "$target" "$mode" copybinary cpu 1.2
			done
		done
	done
}

report_sustained()
{
	local mode rate
	printf '\n| %d clients, %s, %d windows of %d s | rows/s | rows/minute | to 10,000/minute |' "$CLIENTS" \
		"$(target_title "$SUSTAINED_TARGET")" "$WINDOWS" "$SECONDS_EACH"
	printf ' server CPU µs/row | p50 of a call | p99 | highest |\n|---|---|---|---|---|---|---|---|\n'
	for mode in "${SUSTAINED_MODES[@]}"; do
		rate=$(median "sustained.$mode.rate")
		printf '| %s | %s | %s | %.0fx | %.2f | %.2f ms | %.1f ms | %.0f ms |\n' "$(title "$mode")" \
			"$(thousands "$(printf '%.0f' "$rate")")" \
			"$(thousands "$(awk -v r="$rate" 'BEGIN {printf "%.0f", r * 60}')")" \
			"$(awk -v r="$rate" 'BEGIN {print r * 60 / 10000}')" \
			"$(median "sustained.$mode.cpu")" "$(median "sustained.$mode.p50")" "$(median "sustained.$mode.p99")" \
			"$(sort -g "$WORK/sustained.$mode.max.times" | tail -n 1)"
	done
}
