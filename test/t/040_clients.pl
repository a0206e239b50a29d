# Real clients: the tours of test/clients with asyncpg, psycopg and SQLAlchemy from Debian's
# packages, and the Python in the README, which prints what the README says.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Debian's, for which the packages are, not another one that may come first in PATH
my $python = '/usr/bin/python3';
my $top = "$FindBin::RealBin/../..";

my $node = new_node('clients', "timezone = 'UTC'");
$node->safe_psql('postgres', 'CREATE ROLE market LOGIN; CREATE ROLE writer LOGIN');

# The exit status, and what was written to stdout and stderr
sub run_python
{
	my ($user, $database, @arguments) = @_;
	local %ENV = (%ENV,
		PGHOST => $node->host, PGPORT => $node->port, PGUSER => $user, PGDATABASE => $database,
		TOUR_WRITER => 'writer', PYTHONDONTWRITEBYTECODE => 1);
	my ($out, $err) = ('', '');

	IPC::Run::run([ $python, @arguments ], '<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return ($? >> 8, $out, $err);
}

# A database that the role "market" owns, as the owner of the tables would be there
sub make_database
{
	my ($name) = @_;
	# in a database whose encoding is not known, psycopg has bytes for text
	$node->safe_psql('postgres',
		"CREATE DATABASE $name OWNER market TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
	install_extension($node, $name);
	$node->safe_psql($name, q{
		GRANT USAGE ON SCHEMA dbperf TO market WITH GRANT OPTION;
		GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbperf TO market WITH GRANT OPTION;
		GRANT SELECT ON ALL TABLES IN SCHEMA dbperf TO market WITH GRANT OPTION;
		GRANT DELETE ON dbperf.ingest_rejects TO market WITH GRANT OPTION;
		GRANT INSERT, UPDATE, DELETE ON dbperf.policy TO market});
	return;
}

# Each check of a tour is one of ours.
sub run_tour
{
	my ($tour) = @_;
	my $database = "tour_$tour";
	my $checks = 0;

	make_database($database);
	my ($status, $out, $err) = run_python('market', $database, "$top/test/clients/tour_$tour.py");
	for my $line (split /\n/, $out)
	{
		if ($line =~ /^(not )?ok \d+ - (.*)/)
		{
			ok(!$1, "$tour: $2");
			$checks++;
		}
		else
		{
			diag $line unless $line eq "1..$checks";
		}
	}
	is($status, 0, "$tour: ran to its end") or diag $err;
	like($out, qr/^1\.\.$checks\n\z/m, "$tour: made all its checks");
	cmp_ok($checks, '>', 0, "$tour: made any");
	return;
}

run_tour($_) for qw(asyncpg psycopg sqlalchemy);

# --- the README: each python block, and the block after it with what it prints
my ($section) = slurp_file("$top/README.md") =~ /^## Ingest from an application\n(.*?)^## /ms;
my @blocks = ($section // '') =~ /^```python\n(.*?)^```\n\s*^```\n(.*?)^```\n/msg;
my $python_blocks = () = ($section // '') =~ /^```python$/mg;
is(@blocks / 2, $python_blocks, 'the README says what each block of Python prints');
cmp_ok($python_blocks, '>', 1, 'it has some');

# The database of the demo, before the ticks are loaded
$node->safe_psql('postgres', 'CREATE DATABASE readme');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('readme'),
		'-f', "$top/test/demo/schema.sql" ], 'the tables of the demo');
while (my ($code, $printed) = splice @blocks, 0, 2)
{
	my ($status, $out, $err) = run_python('postgres', 'readme', '-c', $code);
	my ($first) = $code =~ /^(.*)/;
	is($out, $printed, "the README's block \"$first\" prints what it says");
	is($status, 0, 'and ends well') or diag $err;
}

$node->stop;
done_testing();
