#!/bin/bash
# Makes the committed corpora anew, after the formats have changed: encodes data of many kinds,
# adds what is in the corpora already and what fuzzing has found, and keeps of all that the smallest set
# of inputs that reaches as much of the code.
#
#   test/fuzz/seeds.sh [DIR]     DIR/TARGET: as CORPUS of test/fuzz/run.sh left it
set -euo pipefail

FOUND=${1:-}
# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Per target; fewer and shorter inputs than libFuzzer would keep
MOST_BYTES=${MOST_BYTES:-60000}

choose_fuzzer || {
	echo "no clang with libFuzzer: install clang-14 and libclang-rt-14-dev, or set CLANG" >&2
	exit 1
}
build_targets
# shellcheck disable=SC2086
"$CC_COMMAND" $BASE_FLAGS "-fsanitize=$CHECKERS" -o "$WORK/seeds" "$FUZZ_DIR/seeds.c" \
	"$SOURCE_DIR"/src/codec/*.c -lzstd -lm
for target in $ALL_TARGETS; do
	mkdir -p "$WORK/seed/$target"
done
"$WORK/seeds" "$WORK/seed"
for target in $TARGETS; do
	corpus=$FUZZ_DIR/corpus/$target
	mkdir -p "$corpus" "$WORK/merged/$target"
	# What zstd reaches nobody sees, so all of that is kept.
	[ "$target" != general ] || cp "$WORK/seed/$target"/* "$WORK/merged/$target"
	# What is reached counts, not how often: a few dozen do for that.
	"$WORK/$target" -set_cover_merge=1 -max_len=1600 -use_counters=0 "$WORK/merged/$target" \
		"$WORK/seed/$target" "$corpus" ${FOUND:+"$FOUND/$target"} >"$WORK/log" 2>&1 || {
		cat "$WORK/log"
		exit 1
	}
	rm -rf "$corpus"
	mkdir "$corpus"
	find "$WORK/merged/$target" -type f -printf '%s %f\n' | sort -n | {
		bytes=0
		while read -r size name; do
			bytes=$((bytes + size))
			[ "$bytes" -le "$MOST_BYTES" ] || break
			cp "$WORK/merged/$target/$name" "$corpus/"
		done
	}
	echo "$target: $(find "$corpus" -type f | wc -l) inputs, $(du -b --max-depth=0 "$corpus" | cut -f 1) bytes"
done
