#!/bin/bash
# Gives every committed input to its target once: for `make test`. With clang's libFuzzer, or, where
# that is missing, with gcc and its checkers; where those are missing too, without.
#
#   test/fuzz/replay.sh        prints a line for each target; TARGETS='ints slices' for some only
set -euo pipefail

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

choose_fuzzer || choose_standalone || {
	echo "not ok - no compiler works" >&2
	exit 1
}
build_targets
failed=0
for target in $TARGETS; do
	files=("$FUZZ_DIR/corpus/$target"/*)
	if "$WORK/$target" "${files[@]}" >"$WORK/log" 2>&1; then
		echo "ok - $target (${#files[@]} inputs)"
	else
		echo "not ok - $target"
		grep '^Running: ' "$WORK/log" | tail -n 1
		grep -v '^Running: \|^Executed ' "$WORK/log" | head -n 40
		failed=1
	fi
done
exit "$failed"
