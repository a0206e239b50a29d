# shellcheck shell=bash
# Installs what is missing, from Debian only. With everything in place it touches no network.

package_state() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true; }

missing_packages()
{
	local package
	for package in "$@"; do
		[ "$(package_state "$package")" = installed ] || echo "$package"
	done
}

# Quiet unless it fails.
apt_get()
{
	local log status=0
	log=$(mktemp)
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
		"$@" </dev/null >"$log" 2>&1 || status=$?
	[ "$status" = 0 ] || tail -n 40 "$log" >&2
	rm -f "$log"
	return "$status"
}

# Debian's server package makes and starts a cluster "main". Where the server is installed for
# these scripts' sake only, nobody asked for it, and port 5432 stays free.
install_server()
{
	local dir=/etc/postgresql-common/createcluster.d status=0

	apt_get install --no-install-recommends postgresql-common
	mkdir -p "$dir"
	echo 'create_main_cluster = false' >"$dir/99-dbperf-no-main.conf"
	apt_get install --no-install-recommends "postgresql-$PGMAJOR" || status=$?
	rm -f "$dir/99-dbperf-no-main.conf"
	rmdir --ignore-fail-on-non-empty "$dir"
	return "$status"
}

# Debian's package starts PgBouncer on port 6432, where nobody asked for it either.
install_pgbouncer()
{
	local policy=/usr/sbin/policy-rc.d status=0 ours=

	[ -e "$policy" ] || { ours=1 && printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"; }
	apt_get install --no-install-recommends pgbouncer || status=$?
	[ -z "$ours" ] || rm -f "$policy"
	return "$status"
}

# install_packages NAME…: a NAME with a trailing '?' is left out where Debian does not have it.
install_packages()
{
	local name missing=() wanted=()

	if ! command -v dpkg-query >/dev/null; then
		warn "not a Debian system: nothing is installed; these packages are taken to be there: $*"
		return
	fi
	for name in "$@"; do
		[ -z "$(missing_packages "${name%\?}")" ] || missing+=("$name")
	done
	[ "${#missing[@]}" -gt 0 ] || return 0
	need_root

	apt_get update || warn "apt-get update failed; trying with the lists at hand"
	for name in "${missing[@]}"; do
		case $name in
			*\?) [ -z "$(apt-cache -q show "${name%\?}" 2>/dev/null)" ] || wanted+=("${name%\?}") ;;
			*) wanted+=("$name") ;;
		esac
	done
	[ "${#wanted[@]}" -gt 0 ] || return 0
	say "installing from Debian: ${wanted[*]}"
	case " ${wanted[*]} " in
		*" postgresql-$PGMAJOR "*) install_server || die "cannot install postgresql-$PGMAJOR" ;;
	esac
	case " ${wanted[*]} " in
		*" pgbouncer "*) install_pgbouncer || die "cannot install pgbouncer" ;;
	esac
	apt_get install --no-install-recommends "${wanted[@]}" ||
		die "cannot install: ${wanted[*]}"
}

install_for_build()
{
	install_packages gcc libc6-dev make libzstd-dev "postgresql-$PGMAJOR" \
		"postgresql-server-dev-$PGMAJOR"
}

# clang-format prints differently in every release, so the check uses this one or none.
install_for_test()
{
	install_for_build
	install_packages perl libipc-run-perl libtap-parser-sourcehandler-pgtap-perl \
		"postgresql-$PGMAJOR-pgtap" "postgresql-$PGMAJOR-cron?" "postgresql-$PGMAJOR-partman?" \
		"clang-format-14?" "clang?" "libclang-rt-14-dev?" zstd python3-sqlalchemy python3-greenlet python3-psycopg2 python3-asyncpg \
		python3-psycopg python3-jsonschema pgbouncer
}
