# shellcheck shell=bash
# Compressing and decompressing against rewriting the heap.

# use_memory SIZE: of maintenance_work_mem, and of work_mem for what sorts without it
use_memory()
{
	query postgres "ALTER SYSTEM SET maintenance_work_mem = '$1'"
	query postgres "ALTER SYSTEM SET work_mem = '$1'"
	query postgres "SELECT pg_reload_conf()" >/dev/null
	until [ "$(query postgres "SHOW work_mem")" = "$1" ]; do sleep 0.1; done
}

# Everything that is read is in the buffers, and no checkpoint is due.
warm_up()
{
	query bench "SELECT sum(pg_prewarm(x)) FROM pg_class c, unnest(ARRAY[c.oid, nullif(c.reltoastrelid, 0)]) x
		WHERE c.oid = '$1'::regclass AND x IS NOT NULL" >/dev/null
	query bench "CHECKPOINT"
}

# operation NAME STATEMENT: adds a line to $WORK/NAME.times, .cpu and .anon
operation()
{
	local name=$1 watcher ready ms used cpu own all
	exec {ready}< <(exec "$HERE/peak.pl" "$(head -n 1 "$WORK/data/postmaster.pid")" "$WORK/peaks")
	watcher=$!
	read -r -u "$ready" _
	ms=$(times bench "$2" 1)
	kill -TERM "$watcher"
	wait "$watcher" 2>/dev/null || true
	exec {ready}<&-
	[ -n "$ms" ] || die "failed: $2"
	# of the session and the worker that it asked, the one that has done the work
	used=$(grep -E 'postgres bench \[local\]|dbperf session worker' "$WORK/peaks" | sort -n | tail -n 1)
	read -r cpu own all _ <<<"$used"
	record "$name" "$ms"
	echo "$cpu" >>"$WORK/$name.cpu"
	echo "$own" >>"$WORK/$name.anon"
	[ -z "${RAW:-}" ] || echo "$name $ms $cpu $own $all" >>"$RAW"
}

# turn SOURCE INDEXES PREFIX
turn()
{
	query bench "CREATE TABLE packed AS TABLE $1"
	[ "$2" = without ] || make_indexes packed
	query bench "VACUUM (FREEZE, ANALYZE) packed"
	warm_up packed
	operation "$3.compress" "SELECT dbperf.compress_partition('packed', $KEY_ARRAY)"
	warm_up packed
	operation "$3.analyze" "ANALYZE packed"
	operation "$3.decompress" "SELECT dbperf.decompress_partition('packed')"
	warm_up packed
	operation "$3.rewrite" "VACUUM (FULL) packed"
	query bench "DROP TABLE packed"
	if [ "$2" = without ]; then
		warm_up "$1"
		operation "$3.sorted" "CREATE TABLE packed AS SELECT * FROM $1 ORDER BY $KEY"
		query bench "DROP TABLE packed"
	fi
}

middle() { sort -g "$WORK/$1" | awk '{v[NR] = $1} END {print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'; }
most() { sort -g "$WORK/$1" | tail -n 1; }

# speed_row TITLE PREFIX OPERATION ROWS
speed_row()
{
	local sorted=
	[ -s "$WORK/$2.$3.times" ] || return 0
	[ ! -s "$WORK/$2.sorted.times" ] || sorted=$(median "$2.sorted")
	awk -v title="$1" -v rows="$4" -v ms="$(median "$2.$3")" -v rewrite="$(median "$2.rewrite")" -v sorted="$sorted" \
		-v cpu="$(middle "$2.$3.cpu")" -v anon="$(most "$2.$3.anon")" 'BEGIN {
		printf "| %s | %d | %.2f | %s | %.2f | %d | %.0f |\n", title, rows * 1000 / ms, rewrite / ms,
			sorted == "" ? "" : sprintf("%.2f", sorted / ms), cpu / rows, rows * 1000000 / cpu, anon / 1024
	}'
}

# report_speed SOURCE INDEXES MEMORY
report_speed()
{
	local prefix=$1.$2.$3 rows
	rows=$(rows_of "$1")
	printf '\n| %s, %s indexes, %s | rows/s | to VACUUM FULL | to CREATE TABLE AS … ORDER BY | CPU µs/row | rows/s of CPU | own memory at most, MB |\n' \
		"$1" "$2" "$3"
	printf '|---|---|---|---|---|---|---|\n'
	speed_row "**compress_partition**" "$prefix" compress "$rows"
	speed_row "ANALYZE by itself, which is part of compressing" "$prefix" analyze "$rows"
	speed_row "**decompress_partition**" "$prefix" decompress "$rows"
	speed_row "VACUUM FULL of the decompressed table" "$prefix" rewrite "$rows"
	speed_row "CREATE TABLE AS … ORDER BY" "$prefix" sorted "$rows"
}

# By processor time, since that is what others on the machine have the least say in.
speed_target()
{
	awk -v what="$1, $2 indexes, $3: $4" -v rows="$(rows_of "$1")" -v cpu="$(middle "$1.$2.$3.$4.cpu")" 'BEGIN {
		printf "%s: %d rows a second of processor time, target 1000000: %s\n", what, rows * 1000000 / cpu, (rows >= cpu ? "met" : "**missed**")
	}'
}

speed()
{
	local source indexes memory round operation
	for source in "${LOADED[@]}"; do
		for ((round = 1; round <= ROUNDS; round++)); do
			for memory in "${MEMORY[@]}"; do
				use_memory "$memory"
				for indexes in "${INDEXES[@]}"; do
					turn "$source" "$indexes" "$source.$indexes.$memory"
				done
			done
		done
		for indexes in "${INDEXES[@]}"; do
			for memory in "${MEMORY[@]}"; do
				report_speed "$source" "$indexes" "$memory"
			done
		done
		printf '\n'
		for indexes in "${INDEXES[@]}"; do
			for memory in "${MEMORY[@]}"; do
				for operation in compress decompress; do
					speed_target "$source" "$indexes" "$memory" "$operation"
				done
			done
		done
	done
}
