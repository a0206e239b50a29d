# shellcheck shell=bash
# What every script here shares: where things are, how to speak, who runs what.
# Sourced with ROOT set to the top of the source tree.

# A caller's connection settings must never lead a script to somebody else's server.
unset PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGPASSWORD PGSERVICE PGOPTIONS PGDATA PGTZ
# Options meant for the outer make (-n, -k, a jobserver) would confuse the inner ones.
unset MAKEFLAGS MAKELEVEL MFLAGS
export LC_ALL=C.UTF-8

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die()
{
	warn "error: $*"
	exit 1
}

# The PostgreSQL release to work with: PGMAJOR, else the one this Debian release ships.
default_pgmajor()
{
	local codename=
	[ ! -r /etc/os-release ] || codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	case $codename in
		trixie) echo 17 ;;
		forky) echo 18 ;;
		*) echo 15 ;;
	esac
}
PGMAJOR=${PGMAJOR:-$(default_pgmajor)}
export PGMAJOR

# Called once the packages are there: PGBIN, PGXS_SRC and PG_CONFIG.
locate_postgres()
{
	PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/$PGMAJOR/bin/pg_config}
	[ -x "$PG_CONFIG" ] || die "$PG_CONFIG is missing: set PGMAJOR or PG_CONFIG"
	PGBIN=$("$PG_CONFIG" --bindir)
	PGXS_SRC=$(cd "$(dirname "$("$PG_CONFIG" --pgxs)")/.." && pwd)
	export PG_CONFIG PGBIN PGXS_SRC
	export PATH="$PGBIN:$PATH"
}

need_root()
{
	[ "$(id -u)" = 0 ] ||
		die "run this as root: it installs into PostgreSQL's directories and runs servers as the user postgres"
}

# One library can be installed at a time, so runs on one machine take turns. A server that is
# started meanwhile must not inherit the lock.
lock_install()
{
	mkdir -p /run/lock
	exec 9>/run/lock/tradeassist_dbperf.lock
	flock -n 9 || {
		say "waiting for another run that has its build installed"
		flock 9
	}
}
unlock_install() { exec 9>&-; }

# PostgreSQL refuses to run as root. Standard input passes through.
as_postgres() { runuser -u postgres -- env HOME=/nonexistent "$@" 9>&-; }
