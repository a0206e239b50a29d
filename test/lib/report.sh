# shellcheck shell=bash
# Counts and prints: one unit is a regress test, an isolation spec, a pgTAP or TAP file, a check.

PASSED=0
FAILED=0
SKIPPED=0
FAILURES=()
SUITE_ROWS=()

suite_begin()
{
	SUITE=$1
	SUITE_PASSED=0
	SUITE_FAILED=0
	SUITE_SKIPPED=0
	SUITE_STARTED=$SECONDS
	say ""
	say "== $SUITE"
}

# record ok|FAILED|skipped NAME [remark]
record()
{
	case $1 in
		ok) SUITE_PASSED=$((SUITE_PASSED + 1)) ;;
		skipped) SUITE_SKIPPED=$((SUITE_SKIPPED + 1)) ;;
		*)
			SUITE_FAILED=$((SUITE_FAILED + 1))
			FAILURES+=("$SUITE: $2")
			;;
	esac
	printf '%-8s %s%s\n' "$1" "$2" "${3:+  ($3)}"
}

suite_end()
{
	local row
	row=$(printf '%-28s %4d passed %4d failed %4d skipped %5d s' "$SUITE" "$SUITE_PASSED" \
		"$SUITE_FAILED" "$SUITE_SKIPPED" $((SECONDS - SUITE_STARTED)))
	SUITE_ROWS+=("$row")
	PASSED=$((PASSED + SUITE_PASSED))
	FAILED=$((FAILED + SUITE_FAILED))
	SKIPPED=$((SKIPPED + SUITE_SKIPPED))
}

# The last line is the whole result, alone on its line.
summary()
{
	local line
	say ""
	say "== summary (PostgreSQL $PGMAJOR, $SECONDS s)"
	for line in "${SUITE_ROWS[@]}"; do
		say "$line"
	done
	for line in "${FAILURES[@]}"; do
		say "FAILED   $line"
	done
	if [ "$SKIPPED" -gt 0 ]; then
		say "$PASSED passed, $FAILED failed, $SKIPPED skipped"
	else
		say "$PASSED passed, $FAILED failed"
	fi
	[ "$FAILED" = 0 ] && [ "$PASSED" -gt 0 ]
}
