# shellcheck shell=bash
# What the parts share: databases to measure in, timing, medians, the rows of the table.

run_psql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$WORK" -U postgres "$@"; }
query() { run_psql -d "$1" -c "$2"; }

# new_database NAME: with both extensions, the tables' definition and the function that makes them.
new_database()
{
	run_psql -d postgres -c "CREATE DATABASE \"$1\""
	run_psql -d "$1" -f "$HERE/tables.sql" >/dev/null
}

copy_database() { run_psql -d postgres -c "CREATE DATABASE \"$2\" TEMPLATE \"$1\""; }
drop_database() { run_psql -d postgres -c "DROP DATABASE \"$1\" WITH (FORCE)"; }

# times DATABASE STATEMENT COUNT: milliseconds of each of COUNT executions, one after another in a
# new backend.
times()
{
	local i script="\\timing on"
	for ((i = 0; i < $3; i++)); do
		script+=$'\n'"$2;"
	done
	run_psql -d "$1" <<<"$script" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}

# Results are lines "name milliseconds" in $WORK/NAME.times.
record() { echo "$2" >>"$WORK/$1.times"; }
median() { sort -g "$WORK/$1.times" | awk '{v[NR] = $1} END {print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'; }

heading() { printf '\n%-52s %10s %10s %7s %7s\n' "$1" "$2" "$3" ratio target; }

# row TITLE OURS THEIRS TARGET: medians of what was recorded, and how much faster ours is.
row()
{
	awk -v title="$1" -v ours="$(median "$2")" -v theirs="$(median "$3")" -v target="$4" 'BEGIN {
		printf "%-52s %7.2f ms %7.1f ms %6.1fx %7s\n", title, ours, theirs, theirs / ours,
			target == "" ? "" : (theirs / ours >= target ? "" : "not ") target "x"
	}'
}
