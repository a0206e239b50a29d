#!/bin/bash
# Builds and tests everything: `make test`, or `make quick` for an answer in under a minute.
#
#   test/run.sh [--quick] [suite…]     suites: checks regress isolation pgtap tap
#
# Everything runs against a build with assertions first; pg_regress runs again against the
# ordinary build, which is the one left installed. Environment:
#   PGMAJOR=17       another PostgreSQL release (default: this Debian release's own)
#   TESTS='a* b'     only tests whose names match one of these patterns
#   SERVER_OPTIONS   one more setting of the servers of pg_regress, isolation and pgTAP tests
#   KEEP=1           keep the working directory (logs, results) and say where it is
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
for part in common deps cluster report suites checks; do
	# shellcheck source=/dev/null
	. "$ROOT/test/lib/$part.sh"
done

QUICK=
[ "${1:-}" != --quick ] || { QUICK=1 && shift; }
read -ra SUITES <<<"${*:-checks regress isolation pgtap tap}"
# The random twins and the like, for which an answer in under a minute has no time
export SLOW_TESTS=
[ -z "$QUICK" ] || { SUITES=(regress) && SLOW_TESTS="bulk_constraints bulk_twin latest retire_plan"; }
for suite in "${SUITES[@]}"; do
	case $suite in
		checks | regress | isolation | pgtap | tap) ;;
		*) die "unknown suite \"$suite\"" ;;
	esac
done
wanted() { [[ " ${SUITES[*]} " == *" $1 "* ]]; }

# The ordinary build must be what stays behind, also after an interrupt.
WORK=
ASSERT_INSTALLED=
FINISHED=
cleanup()
{
	local status=$?
	trap '' INT TERM
	if [ -n "$WORK" ]; then
		for pgid in "$WORK"/out/tap/*/pgid; do
			[ ! -e "$pgid" ] || kill -- "-$(cat "$pgid")" 2>/dev/null || true
		done
		cluster_stop_all_below "$WORK"
		[ -z "$ASSERT_INSTALLED" ] || build "$ROOT" install >/dev/null 2>&1 ||
			warn "the build with assertions is still installed: run make install"
		if [ -n "${KEEP:-}" ]; then
			say "kept: $WORK"
		else
			rm -rf "$WORK"
		fi
	fi
	# A run that broke off has a result, too.
	[ -n "$FINISHED" ] || { say "" && say "$PASSED passed, $((FAILED + 1)) failed"; }
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# build DIR TARGET [argument…]
build()
{
	local dir=$1
	shift
	make -s -j2 --no-print-directory -C "$dir" PG_CONFIG="$PG_CONFIG" "$@" </dev/null
}

# Only what the tests read: not .git, not the products of another build.
copy_tree()
{
	mkdir "$WORK/tree"
	tar -C "$ROOT" --exclude='*.o' --exclude='*.d' --exclude='*.so' --exclude=./.git \
		--exclude=./.demo --exclude=.buildflags -cf - . | tar -C "$WORK/tree" --no-same-owner -xf -
	chown -R postgres "$WORK/tree"
	chmod -R u+rwX "$WORK/tree"
}

# Nothing in these clusters happens by itself: no worker, no autovacuum. TAP tests make their own.
start_cluster()
{
	CLUSTER="$WORK/$1"
	as_postgres mkdir "$CLUSTER"
	cluster_init "$CLUSTER" "shared_preload_libraries = 'tradeassist_dbperf'" \
		"dbperf.enabled = off" "wal_level = logical" "max_prepared_transactions = 10" \
		"autovacuum = off" "fsync = off" "log_line_prefix = '%m [%p] %q%a '" ${SERVER_OPTIONS:+"$SERVER_OPTIONS"}
	cluster_start "$CLUSTER"
}

stop_cluster()
{
	cluster_stop "$CLUSTER" || {
		FAILED=$((FAILED + 1))
		FAILURES+=("$(basename "$CLUSTER"): the server did not stop within 20 s")
	}
}

test_with_assertions()
{
	ASSERT_INSTALLED=1
	build "$WORK/assert" install >/dev/null
	start_cluster pg-assert
	! wanted regress || suite_regress assertions
	! wanted isolation || suite_isolation assertions
	! wanted pgtap || suite_pgtap assertions
	stop_cluster
	! wanted tap || suite_tap assertions
}

test_ordinary()
{
	build "$ROOT" install >/dev/null
	ASSERT_INSTALLED=
	! wanted regress || {
		start_cluster pg
		suite_regress "ordinary build"
		stop_cluster
	}
}

need_root
if [ -n "$QUICK" ]; then install_for_build; else install_for_test; fi
locate_postgres
lock_install
WORK=$(mktemp -d "${DBPERF_TMPDIR:-/tmp}/dbperf-test.XXXXXX")
chown postgres "$WORK"
mkdir "$WORK/out" && chown postgres "$WORK/out"
cd "$WORK"

say "building against $("$PG_CONFIG" --version)"
build "$ROOT" all
copy_tree
if [ -z "$QUICK" ]; then
	cp -a "$WORK/tree" "$WORK/assert"
	chown -R root "$WORK/assert"
	build "$WORK/assert" all COPT=-DUSE_ASSERT_CHECKING
	! wanted checks || suite_checks
	test_with_assertions
fi
test_ordinary
FINISHED=1
summary
