# shellcheck shell=bash
# Builds the fuzz targets. Sourced with set -euo pipefail.

FUZZ_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SOURCE_DIR=$(cd "$FUZZ_DIR/../.." && pwd)
ALL_TARGETS="bitmap doubles floats general ints numerics slices"
TARGETS=${TARGETS:-$ALL_TARGETS}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/dbperf-fuzz.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

CHECKERS=address,undefined
# Warnings are for the build: compilers differ in them.
BASE_FLAGS="-std=gnu11 -g -O2 -w -fno-omit-frame-pointer -I$SOURCE_DIR/src"

for target in $TARGETS; do
	[[ " $ALL_TARGETS " == *" $target "* ]] || {
		echo "unknown target \"$target\": one of $ALL_TARGETS" >&2
		exit 2
	}
done

# works COMPILER FLAG…: does a program come of it, and does it run?
works()
{
	echo 'int LLVMFuzzerTestOneInput(const char *data, long size); int LLVMFuzzerTestOneInput(const char *data, long size) { return data && size < 0; }' >"$WORK/try.c"
	[[ " $* " == *fuzzer* ]] || echo 'int main(void) { return 0; }' >>"$WORK/try.c"
	"$@" -o "$WORK/try" "$WORK/try.c" >/dev/null 2>&1 && "$WORK/try" -runs=1 >/dev/null 2>&1
}

# CC_COMMAND, OBJECT_FLAGS, LINK_FLAGS and HARNESS, for libFuzzer or without it
choose_fuzzer()
{
	local cc
	for cc in ${CLANG:-clang-14 clang}; do
		if works "$cc" "-fsanitize=fuzzer,$CHECKERS"; then
			CC_COMMAND=$cc
			OBJECT_FLAGS="-fsanitize=fuzzer-no-link,$CHECKERS -fno-sanitize-recover=all"
			LINK_FLAGS="-fsanitize=fuzzer,$CHECKERS"
			HARNESS=
			return 0
		fi
	done
	return 1
}

choose_standalone()
{
	local cc
	HARNESS=$FUZZ_DIR/replay.c
	for cc in "${CC:-gcc}" gcc cc; do
		CC_COMMAND=$cc
		OBJECT_FLAGS="-fsanitize=$CHECKERS -fno-sanitize-recover=all"
		LINK_FLAGS=$OBJECT_FLAGS
		# shellcheck disable=SC2086
		! works "$cc" $OBJECT_FLAGS || return 0
		OBJECT_FLAGS=
		LINK_FLAGS=
		! works "$cc" || return 0
	done
	return 1
}

# The codecs once, then a program for each target
build_targets()
{
	local target
	mkdir "$WORK/obj"
	# shellcheck disable=SC2086
	(cd "$WORK/obj" && printf '%s\0' "$SOURCE_DIR"/src/codec/*.c |
		xargs -0 -n 1 -P "$(nproc)" "$CC_COMMAND" $BASE_FLAGS $OBJECT_FLAGS -c)
	for target in $TARGETS; do
		# shellcheck disable=SC2086
		"$CC_COMMAND" $BASE_FLAGS $LINK_FLAGS -fno-sanitize-recover=all -o "$WORK/$target" \
			"$FUZZ_DIR/$target.c" $HARNESS "$WORK"/obj/*.o -lzstd -lm
	done
}
