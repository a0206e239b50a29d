# shellcheck shell=bash
# Private clusters: run by postgres, reached through a socket in their own directory only, so
# that neither a port nor another user comes into it.

# cluster_init DIR [setting…]: DIR must exist and belong to postgres. Whoever can enter DIR may
# connect as anybody.
cluster_init()
{
	local dir=$1 setting
	shift
	as_postgres "$PGBIN/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-locale -N \
		</dev/null >"$dir/initdb.log" 2>&1 || {
		cat "$dir/initdb.log" >&2
		die "initdb failed"
	}
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$dir'"
		for setting in "$@"; do
			echo "$setting"
		done
	} >>"$dir/data/postgresql.conf"
}

cluster_start()
{
	as_postgres "$PGBIN/pg_ctl" -D "$1/data" -l "$1/server.log" -w -t 60 -s start </dev/null || {
		tail -n 30 "$1/server.log" >&2
		die "the private cluster in $1 did not start"
	}
}

# cluster_stop DIR: fails when the server had to be forced.
cluster_stop()
{
	as_postgres "$PGBIN/pg_ctl" -D "$1/data" -m fast -w -t 20 -s stop </dev/null || {
		as_postgres "$PGBIN/pg_ctl" -D "$1/data" -m immediate -w -t 20 -s stop </dev/null || true
		return 1
	}
}

# Whatever a test left running below a directory goes, however the test ended.
cluster_stop_all_below()
{
	local pidfile
	find "$1" -name postmaster.pid 2>/dev/null | while read -r pidfile; do
		as_postgres "$PGBIN/pg_ctl" -D "$(dirname "$pidfile")" -m immediate -w -t 20 -s stop \
			</dev/null >/dev/null 2>&1 || true
	done
}
