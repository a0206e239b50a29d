# shellcheck shell=bash
# The same rows as heap, columnar, and COPY binary through zstd; by column beside the entropy.

bytes_of() { query bench "SELECT $1('$2')"; }

# fingerprint TABLE: the same for the same rows, whatever their order
fingerprint() { query bench "SELECT count(*), sum(hash_record_extended(t.*, 0)::numeric) FROM $1 t"; }

# kinds TABLE: of its columns, as entropy takes them
kinds()
{
	query bench "SELECT CASE atttypid WHEN 'float8'::regtype THEN 'double' WHEN 'text'::regtype THEN 'text' ELSE 'int' END
		FROM pg_attribute WHERE attrelid = '$1'::regclass AND attnum > 0 ORDER BY attnum"
}

# size_row TITLE BYTES SOURCE: against heap with indexes, and how many times as large as columnar
size_row()
{
	awk -v title="$1" -v bytes="$2" -v rows="$(rows_of "$3")" -v all="${BYTES[all]}" -v columnar="${BYTES[columnar]}" 'BEGIN {
		printf "| %s | %.1f | %.2f | %.1fx | %.2fx |\n", title, bytes / 1e6, bytes / rows, all / bytes, bytes / columnar
	}'
}

# measure_peers SOURCE: into $WORK/SOURCE.entropy, and BYTES
measure_peers()
{
	local level
	query bench "SET work_mem = '1GB'; COPY (SELECT * FROM $1 ORDER BY $KEY) TO STDOUT (FORMAT binary)" >"$WORK/sorted"
	BYTES[copy]=$(stat -c %s "$WORK/sorted")
	for level in "${LEVELS[@]}"; do
		BYTES[zstd$level]=$(zstd -q -"$level" -c "$WORK/sorted" | wc -c)
	done
	# shellcheck disable=SC2046 # one word for each column
	"$HERE/entropy" $(kinds "$1") <"$WORK/sorted" >"$WORK/$1.entropy"
	rm "$WORK/sorted"
}

# measure_columnar SOURCE: compresses a copy of the table
measure_columnar()
{
	local before
	query bench "CREATE TABLE packed AS TABLE $1"
	query bench "VACUUM (FREEZE, ANALYZE) packed"
	BYTES[heap]=$(bytes_of pg_table_size packed)
	make_indexes packed
	BYTES[all]=$(bytes_of pg_total_relation_size packed)
	before=$(fingerprint packed)
	query bench "SELECT * FROM dbperf.compress_partition('packed', $KEY_ARRAY)" >"$WORK/compressed"
	BYTES[columnar]=$(bytes_of pg_total_relation_size packed)
	[ "$before" = "$(fingerprint packed)" ] || die "the rows of $1 came back as others"
	run_psql -d bench -F ' ' -v relation=packed -f "$HERE/columns.sql" >"$WORK/$1.columns"
	query bench "DROP TABLE packed"
}

report_size()
{
	local level
	printf '\n| %s: %s rows | MB | bytes a row | heap + 2 indexes is larger | to columnar |\n|---|---|---|---|---|\n' \
		"$1" "$(thousands "$(rows_of "$1")")"
	size_row "heap + 2 indexes" "${BYTES[all]}" "$1"
	size_row "heap" "${BYTES[heap]}" "$1"
	size_row "COPY binary, sorted" "${BYTES[copy]}" "$1"
	for level in "${LEVELS[@]}"; do
		size_row "the same through zstd -$level" "${BYTES[zstd$level]}" "$1"
	done
	size_row "**columnar**, with all that belongs to it" "${BYTES[columnar]}" "$1"
	size_row "order-0 entropy of the columns" \
		"$(awk -v rows="$(rows_of "$1")" '{sum += $1} END {printf "%.0f", sum * rows}' "$WORK/$1.entropy")" "$1"

	printf '\n| %s: bytes a value | entropy | of | columnar | more | most chunks are |\n|---|---|---|---|---|---|\n' "$1"
	# the rest is directories, headers of tuples and pages, the TOAST index, what is free at the ends
	paste -d ' ' "$WORK/$1.entropy" "$WORK/$1.columns" |
		awk -v rows="$(rows_of "$1")" -v total="${BYTES[columnar]}" '
		{
			entropy += $1; columnar += $4; how = ""
			for (i = 5; i <= NF; i++) how = how " " $i
			printf "| %s | %.3f | %s | %.3f | %+.3f |%s |\n", $3, $1, $2, $4 / rows, $4 / rows - $1, how
		}
		END {
			printf "| pages, directories, the rest | | | %.3f | | |\n", (total - columnar) / rows
			printf "| sum | %.3f | | %.3f | %+.3f | |\n", entropy, total / rows, total / rows - entropy
		}'
}

# target TITLE IS LIMIT: at most
target() { awk -v title="$1" -v is="$2" -v limit="$3" 'BEGIN {printf "%s: %.1f MB, target %.1f MB: %s\n", title, is / 1e6, limit / 1e6, (is <= limit ? "met" : "**missed**")}'; }

size()
{
	local source level
	declare -A BYTES
	for source in "${LOADED[@]}"; do
		measure_peers "$source"
		measure_columnar "$source"
		report_size "$source"
		printf '\n'
		[ "$source" != generated ] ||
			target "At most 9 bytes a row (90 MB for 10 million)" "${BYTES[columnar]}" "$((9 * $(rows_of "$source")))"
		for level in "${LEVELS[@]}"; do
			target "No larger than COPY binary through zstd -$level" "${BYTES[columnar]}" "${BYTES[zstd$level]}"
		done
	done
}
