# shellcheck shell=bash
# What every bench begins and ends with. Sourced after test/lib.

WORK=
cleanup()
{
	local status=$?
	trap '' INT TERM
	if [ -n "$WORK" ]; then
		cluster_stop_all_below "$WORK"
		rm -rf "$WORK"
	fi
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# begin_bench [PACKAGE…]: installs these and the extension, and makes the directory $WORK for private
# clusters, which is gone in the end.
begin_bench()
{
	need_root
	install_for_build
	[ $# = 0 ] || install_packages "$@"
	locate_postgres
	[ -n "${INSTALLED:-}" ] || make -s -C "$ROOT" PG_CONFIG="$PG_CONFIG" all install >/dev/null

	if [ -z "${BENCH_DIR:-}" ]; then
		BENCH_DIR=/var/tmp
		[ ! -w /dev/shm ] || BENCH_DIR=/dev/shm
	fi
	WORK=$(mktemp -d "$BENCH_DIR/dbperf-bench.XXXXXX")
	chown postgres "$WORK"
	chmod 700 "$WORK"
}
