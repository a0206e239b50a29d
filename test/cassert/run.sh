#!/bin/bash
# Builds PostgreSQL from Debian's source with assertions, and runs the suite on it: `make test-cassert`.
#
# The server's own assertions find what a table access method does wrong and gets away with. Takes some
# ten minutes the first time; the build is kept.
#
#   DBPERF_CASSERT_DIR  where source and build are kept (default /var/tmp/dbperf-cassert)
#   DEBIAN_MIRROR       default http://deb.debian.org/debian
#   SUITES, TESTS, SERVER_OPTIONS   as for test/run.sh, such as SERVER_OPTIONS='debug_discard_caches = 1'
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
for part in common deps; do
	# shellcheck source=/dev/null
	. "$ROOT/test/lib/$part.sh"
done
CACHE=${DBPERF_CASSERT_DIR:-/var/tmp/dbperf-cassert}
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
PREFIX="$CACHE/postgresql-$PGMAJOR"

# The source of the last point release, from an index of our own: the system's is left as it is.
fetch_source()
{
	local lists="$CACHE/apt" options
	mkdir -p "$lists/lists/partial"
	printf 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s bookworm main\n' "$MIRROR" \
		>"$lists/sources.list"
	options=(-o Dir::Etc::sourcelist="$lists/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$lists/lists")
	apt-get -q "${options[@]}" update >"$CACHE/apt.log" 2>&1 || die "cannot read the list of sources"
	(cd "$CACHE" && apt-get -q "${options[@]}" --only-source source "postgresql-$PGMAJOR" >>apt.log 2>&1) ||
		die "cannot fetch the source of postgresql-$PGMAJOR"
}

build()
{
	local source
	[ ! -x "$PREFIX/bin/postgres" ] || return 0
	install_packages "postgresql-$PGMAJOR-pgtap" gcc make bison flex perl dpkg-dev libreadline-dev zlib1g-dev libssl-dev liblz4-dev libzstd-dev libicu-dev pkg-config
	mkdir -p "$CACHE"
	say "fetching the source of postgresql-$PGMAJOR"
	fetch_source
	source=$(find "$CACHE" -maxdepth 1 -type d -name "postgresql-$PGMAJOR-$PGMAJOR.*" | sort -V | tail -n 1)
	[ -n "$source" ] || die "the source of postgresql-$PGMAJOR is not where it should be"
	say "building it with assertions: $CACHE/build.log"
	(
		cd "$source"
		./configure --prefix="$PREFIX" --enable-cassert --enable-debug --enable-tap-tests --with-openssl \
			--with-icu --with-lz4 --with-zstd CFLAGS="-O1 -g"
		make -s -j"$(nproc)"
		make -s install
		for module in amcheck pageinspect test_decoding pg_stat_statements pg_prewarm postgres_fdw pg_visibility \
			pgstattuple pg_trgm btree_gist btree_gin pg_freespacemap; do
			make -s -C "contrib/$module" install
		done
		make -s -C src/test/isolation install
		make -s -C src/test/regress install
	) >"$CACHE/build.log" 2>&1 || { tail -n 30 "$CACHE/build.log" >&2; die "the build failed"; }
	cp -a "/usr/share/postgresql/$PGMAJOR/extension"/pgtap* "$PREFIX/share/extension/"
	chmod -R a+rX "$CACHE"
}

need_root
build
cd "$ROOT"
# shellcheck disable=SC2086
PG_CONFIG="$PREFIX/bin/pg_config" exec test/run.sh ${SUITES:-regress isolation pgtap tap}
