# shellcheck shell=bash
# The suites. Each runs as postgres on the copy of the tree in $WORK/tree, because the clone may
# lie where postgres cannot go (below /root, say). $CLUSTER is the running private cluster.

# tests_in DIR SUFFIX: base names in order, narrowed by TESTS (a list of shell patterns).
tests_in()
{
	local file name pattern
	for file in "$WORK/tree/$1"/*"$2"; do
		[ -e "$file" ] || continue
		name=$(basename "$file" "$2")
		[[ " ${SLOW_TESTS:-} " != *" $name "* ]] || continue
		if [ -z "${TESTS:-}" ]; then
			echo "$name"
			continue
		fi
		for pattern in $TESTS; do
			# shellcheck disable=SC2254 # a pattern is meant
			case $name in
				$pattern) echo "$name" && break ;;
			esac
		done
	done
}

# A suite that passes while a backend crashed has not passed.
check_server_log()
{
	local bad='was terminated by signal|^TRAP:|PANIC:|server process .* exited with exit code [^01]'
	local from=$1
	if tail -n "+$((from + 1))" "$CLUSTER/server.log" | grep -E "$bad" >"$WORK/crash.txt"; then
		record FAILED "the server crashed"
		head -n 20 "$WORK/crash.txt"
		tail -n 60 "$CLUSTER/server.log"
	fi
}

log_lines() { wc -l <"$CLUSTER/server.log"; }

# run_regress PROGRAM INPUTDIR DATABASE NAME…: pg_regress and pg_isolation_regress print the
# same, up to 15 in a form of their own, from 16 on as TAP.
run_regress()
{
	local program=$1 input=$2 database=$3 name from
	local out="$WORK/out/${SUITE//[^a-z]/_}"
	shift 3
	from=$(log_lines)
	as_postgres mkdir -p "$out"
	(cd "$out" && as_postgres "$PGXS_SRC/test/$program" --bindir="$PGBIN" --inputdir="$input" \
		--outputdir="$out" --host="$CLUSTER" --user=postgres --dbname="$database" "$@" \
		</dev/null >"$out/run.log" 2>&1) || true
	for name in "$@"; do
		if grep -Eq "^(test $name +\.\.\. ok|ok [0-9]+ +[-+] $name )" "$out/run.log"; then
			record ok "$name"
		else
			record FAILED "$name"
		fi
	done
	if [ "$SUITE_FAILED" -gt 0 ]; then
		grep -Ev '^(test .* ok |ok )' "$out/run.log" | tail -n 30
		[ ! -s "$out/regression.diffs" ] || head -n "${DIFF_LINES:-300}" "$out/regression.diffs"
	fi
	check_server_log "$from"
}

# suite_regress LABEL
suite_regress()
{
	local names
	mapfile -t names < <(tests_in sql .sql)
	suite_begin "pg_regress ($1)"
	if [ "${#names[@]}" = 0 ]; then
		say "no tests"
	else
		run_regress regress/pg_regress "$WORK/tree" regression "${names[@]}"
	fi
	suite_end
}

suite_isolation()
{
	local names
	mapfile -t names < <(tests_in test/isolation/specs .spec)
	suite_begin "isolation ($1)"
	if [ "${#names[@]}" = 0 ]; then
		say "no tests"
	else
		# isolationtester is found beside its driver, not through --bindir.
		run_regress isolation/pg_isolation_regress "$WORK/tree/test/isolation" isolation "${names[@]}"
	fi
	suite_end
}

# Every file gets a database of its own with both extensions in it, so that order and leftovers
# cannot matter.
suite_pgtap()
{
	local names name from log
	mapfile -t names < <(tests_in test/pgtap .sql)
	suite_begin "pgTAP ($1)"
	if [ "${#names[@]}" = 0 ]; then
		say "no tests"
		suite_end
		return
	fi
	as_postgres mkdir -p "$WORK/out/pgtap"
	for name in "${names[@]}"; do
		from=$(log_lines)
		log="$WORK/out/pgtap/$name.log"
		# shellcheck disable=SC2016 # the inner shell expands it
		if (cd "$WORK/tree/test/pgtap" && as_postgres env PGHOST="$CLUSTER" PGUSER=postgres \
			PGOPTIONS='-c client_min_messages=warning' sh -ec '
				psql -X -q -v ON_ERROR_STOP=1 -d postgres -c "CREATE DATABASE \"pgtap_$1\""
				psql -X -q -v ON_ERROR_STOP=1 -d "pgtap_$1" -c "CREATE EXTENSION pgtap" \
					-c "CREATE EXTENSION tradeassist_dbperf"
				pg_prove -v -d "pgtap_$1" "$1.sql"' sh "$name" </dev/null >"$log" 2>&1); then
			record ok "$name"
		else
			record FAILED "$name"
			grep -Ev '^ok ' "$log" | head -n 60
		fi
		check_server_log "$from"
	done
	suite_end
}

# A process for each file, two at a time; each leaves its log and its exit status behind.
suite_tap()
{
	local names name dir status log
	mapfile -t names < <(tests_in test/t .pl)
	suite_begin "TAP ($1)"
	if [ "${#names[@]}" = 0 ]; then
		say "no tests"
		suite_end
		return
	fi
	as_postgres mkdir -p "$WORK/out/tap" "$WORK/out/ports" "$WORK/tmp"
	# PG_TEST_PORT_DIR makes files that run side by side agree on ports.
	(cd "$WORK/tree/test" && printf '%s\0' "${names[@]}" | as_postgres env \
		PERL5LIB="$PGXS_SRC/test/perl" PG_REGRESS="$PGXS_SRC/test/regress/pg_regress" \
		PG_CONFIG="$PG_CONFIG" PG_TEST_PORT_DIR="$WORK/out/ports" OUT="$WORK/out/tap" \
		TMPDIR="$WORK/tmp" \
		FILE_TIMEOUT="${TAP_FILE_TIMEOUT:-300}" \
		xargs -0 -n 1 -P "${TAP_JOBS:-2}" "$WORK/tree/test/lib/run_tap_file") || true
	for name in "${names[@]}"; do
		dir="$WORK/out/tap/$name"
		status=$(cat "$dir/status" 2>/dev/null || echo 'did not run')
		if [ "$status" != 0 ]; then
			[ "$status" != 124 ] || status="stopped after ${TAP_FILE_TIMEOUT:-300} s"
			record FAILED "$name" "$status"
			grep -Ev '^ok ' "$dir/output.log" | tail -n 60 || true
			for log in "$dir"/tmp_check/log/*; do
				[ ! -e "$log" ] || { say "--- $(basename "$log")" && tail -n 25 "$log"; }
			done
		elif grep -q '^.*skipped: ' "$dir/output.log"; then
			record skipped "$name" "$(sed -n 's/.*skipped: //p' "$dir/output.log" | head -n 1)"
		else
			record ok "$name" "$(cat "$dir/seconds") s"
		fi
	done
	suite_end
}
