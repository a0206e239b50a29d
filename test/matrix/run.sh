#!/bin/bash
# Builds and tests in chroots of other Debian releases, and on a bare Debian 12.
#
#   test/matrix/run.sh 17 18 bare
#
# 17 and 18 run the whole suite on trixie and forky; their chroots are kept, packages and all, so
# that the next run starts at once. "bare" unpacks a fresh minimal Debian 12 every time, puts in
# nothing but make and git, clones this tree and runs `make demo` and `make test` as a newcomer.
#
#   DBPERF_MATRIX_DIR   where the chroots are kept (default /var/tmp/dbperf-matrix)
#   DEBIAN_MIRROR       default http://deb.debian.org/debian
#   SUITES, TESTS       as for test/run.sh
#
# Exits non-zero when any of them fails.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
for part in common deps; do
	# shellcheck source=/dev/null
	. "$ROOT/test/lib/$part.sh"
done
CACHE=${DBPERF_MATRIX_DIR:-/var/tmp/dbperf-matrix}
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
CHECKOUT=root/tradeassist_dbperf

# base SUITE: a minimal system as debootstrap leaves it, made once and never run in.
base()
{
	local suite=$1 script=
	[ ! -f "$CACHE/$suite.tar" ] || return 0
	say "debootstrap $suite"
	# An older debootstrap has no script for a newer release; they have long been the same.
	[ -e "/usr/share/debootstrap/scripts/$suite" ] || script=/usr/share/debootstrap/scripts/sid
	rm -rf "$CACHE/$suite.new"
	debootstrap --variant=minbase "$suite" "$CACHE/$suite.new" "$MIRROR" ${script:+"$script"} \
		>"$CACHE/$suite.log" 2>&1 || { tail -n 20 "$CACHE/$suite.log" >&2; die "debootstrap $suite failed"; }
	rm -f "$CACHE/$suite.new/var/cache/apt/archives"/*.deb
	tar -C "$CACHE/$suite.new" -cf "$CACHE/$suite.tar.new" .
	mv "$CACHE/$suite.tar.new" "$CACHE/$suite.tar"
	rm -rf "$CACHE/$suite.new"
}

# unpack SUITE DIR: is renamed into place, so that a broken run leaves no half of a system.
unpack()
{
	rm -rf "$2.new"
	mkdir "$2.new"
	tar -C "$2.new" -xpf "$CACHE/$1.tar"
	mv "$2.new" "$2"
}

# enter DIR COMMAND…: mounts and processes live in namespaces of their own and end with the
# command, so nothing stays mounted below a directory that is going to be removed.
enter()
{
	local dir=$1
	shift
	cp -L /etc/resolv.conf "$dir/etc/resolv.conf"
	unshare --mount --pid --fork --kill-child --propagation private \
		test/matrix/in_chroot "$dir" "$@" </dev/null
}

# copy_tree DIR: the files of this tree that git does not ignore, committed or not.
copy_tree()
{
	local file
	git ls-files -z --cached --others --exclude-standard |
		while IFS= read -r -d '' file; do
			[ ! -e "$file" ] || printf '%s\0' "$file"
		done | tar --null -T - -cf - | tar -C "$1" --no-same-owner -xf -
}

run_release()
{
	local major=$1 suite=$2 dir="$CACHE/$2"
	base "$suite"
	[ -d "$dir" ] || unpack "$suite" "$dir"
	# A mirror that is a frozen copy has a Release file past its date.
	echo 'Acquire::Check-Valid-Until "false";' >"$dir/etc/apt/apt.conf.d/80-frozen-mirror"
	rm -rf "${dir:?}/$CHECKOUT"
	mkdir "$dir/$CHECKOUT"
	copy_tree "$dir/$CHECKOUT"
	enter "$dir" env PGMAJOR="$major" SUITES="${SUITES:-}" TESTS="${TESTS:-}" bash -c \
		"cd /$CHECKOUT && test/run.sh \$SUITES"
}

run_bare()
{
	local dir="$CACHE/bare" status=0
	base bookworm
	rm -rf "$dir"
	unpack bookworm "$dir"
	mkdir "$dir/srv/repository"
	copy_tree "$dir/srv/repository"
	(cd "$dir/srv/repository" && git init -q -b main && git add -A &&
		git -c user.name=test -c user.email=test@localhost commit -q -m 'the tree under test')
	enter "$dir" bash -ec "
		apt-get -q -y update >/dev/null
		DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends make git >/dev/null
		git config --global --add safe.directory '*'
		git clone -q /srv/repository /$CHECKOUT
		cd /$CHECKOUT
		make demo
		make demo
		make demo-stop
		make test" || status=$?
	[ "$status" != 0 ] || rm -rf "$dir"
	return "$status"
}

run_one()
{
	case $1 in
		17) run_release 17 trixie ;;
		18) run_release 18 forky ;;
		bare) run_bare ;;
	esac
}

[ $# -gt 0 ] || set -- 17 18
for what in "$@"; do
	case $what in
		17 | 18 | bare) ;;
		*) die "unknown: $what (17, 18 or bare)" ;;
	esac
done
need_root
install_packages debootstrap git
mkdir -p "$CACHE"
cd "$ROOT"
failed=
for what in "$@"; do
	say ""
	say "#### $what"
	# A subshell outside of any condition, where "set -e" still works.
	set +e
	(
		set -e
		run_one "$what"
	)
	status=$?
	set -e
	[ "$status" = 0 ] || failed+=" $what"
	say "#### $what: exit status $status"
done
[ -z "$failed" ] || die "failed:$failed"
