#!/bin/bash
# Fuzzes each target for a while: for `make fuzz`. Needs clang with libFuzzer (Debian: clang-14 and
# libclang-rt-14-dev).
#
#   test/fuzz/run.sh [seconds]     60 seconds each; from the environment:
#   SECONDS=600                    so many seconds each
#   TARGETS='ints slices'          these targets only
#   CORPUS=DIR                     keep what is found in DIR/TARGET and begin with it the next time
#
# Inputs that a target fails on are left in test/fuzz/found/.
set -euo pipefail

# In bash SECONDS is a clock, which goes on from what the environment says.
SECONDS_EACH=${1:-$(tr '\0' '\n' <"/proc/$$/environ" | sed -n 's/^SECONDS=//p')}
SECONDS_EACH=${SECONDS_EACH:-60}

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

choose_fuzzer || {
	echo "no clang with libFuzzer: install clang-14 and libclang-rt-14-dev, or set CLANG" >&2
	exit 1
}
build_targets
failed=0
for target in $TARGETS; do
	corpus=${CORPUS:-$WORK/corpus}/$target
	found=$FUZZ_DIR/found/$target
	mkdir -p "$corpus" "$found"
	if nice "$WORK/$target" -max_total_time="$SECONDS_EACH" -timeout=10 -rss_limit_mb=2048 \
		-max_len=2048 -print_final_stats=1 -artifact_prefix="$found/" \
		"$corpus" "$FUZZ_DIR/corpus/$target" >"$WORK/log" 2>&1; then
		echo "ok - $target ($(sed -n 's/^stat::number_of_executed_units: *//p' "$WORK/log") inputs tried)"
	else
		echo "not ok - $target"
		grep -v '^#[0-9]\|^INFO: ' "$WORK/log" | head -n 60
		failed=1
	fi
	rmdir "$found" 2>/dev/null || true
done
rmdir "$FUZZ_DIR/found" 2>/dev/null || true
exit "$failed"
