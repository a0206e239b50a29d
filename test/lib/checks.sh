# shellcheck shell=bash
# Checks that need no server.

c_sources() { find "$ROOT/src" "$ROOT/bench" "$ROOT/test/unit" -name "*.[ch]" | sort; }

check_format()
{
	local files
	mapfile -t files < <(c_sources)
	if ! command -v clang-format-14 >/dev/null; then
		record skipped format "no clang-format 14 here"
	elif (cd "$ROOT" && clang-format-14 --dry-run -Werror "${files[@]}") 2>"$WORK/format.log"; then
		record ok format
	else
		record FAILED format "make format mends it"
		head -n 40 "$WORK/format.log"
	fi
}

# What the PGXN meta spec 1.0.0 asks for, and that the three places of the version agree.
check_meta()
{
	if (cd "$ROOT" && perl -MJSON::PP -e '
		local $/;
		open my $in, "<", "META.json" or die $!;
		my $meta = JSON::PP->new->decode(<$in>);
		open my $control, "<", "tradeassist_dbperf.control" or die $!;
		my ($version) = <$control> =~ /^default_version = .([0-9.]+)/m;
		for my $key (qw(name version abstract maintainer license provides meta-spec)) {
			die "META.json lacks $key\n" unless $meta->{$key};
		}
		my $ours = $meta->{provides}{$meta->{name}} or die "META.json does not provide its name\n";
		die "versions differ\n" if grep { $_ ne $version } $meta->{version}, $ours->{version};
		die "not PGXN meta spec 1.0.0\n" unless $meta->{"meta-spec"}{version} eq "1.0.0";
		for my $file (grep { defined } @$ours{qw(file docfile)}) {
			die "META.json names $file, which is not there\n" unless -e $file;
		}'); then
		record ok META.json
	else
		record FAILED META.json
	fi
}

# Rules of this source tree that a compiler does not know.
check_rules()
{
	local found
	found=$(cd "$ROOT" && {
		grep -rn PG_VERSION_NUM src --include='*.[ch]' | grep -v '^src/compat.h:'
		grep -rniE 'CREATE OR REPLACE|(TABLE|INDEX|SCHEMA|SEQUENCE|COLUMN|VIEW|EXTENSION) IF NOT EXISTS' src/sql --include='*.sql' |
			grep -vE '^[^:]*:[0-9]+:[[:space:]]*--'
	}) || true
	if [ -z "$found" ]; then
		record ok "source rules"
	else
		record FAILED "source rules" "PG_VERSION_NUM outside src/compat.h, or CREATE OR REPLACE / IF NOT EXISTS in src/sql"
		say "$found"
	fi
}

suite_checks()
{
	suite_begin checks
	check_format
	check_meta
	check_rules
	suite_end
}
