# An insert that finds no partition fails, and has the worker make the partition: the client's
# retry succeeds, if the key lies in the policy's sanity window.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;

my $node = new_node('missing');
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');

# Fails first for want of a partition; then the client tries again until it succeeds.
sub fails_then_succeeds
{
	my ($sql, $name, @params) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	my ($ret, $out, $err) = $node->psql('app', $sql, @params);
	like($err, qr/no partition of relation .* found for row|keine Partition/, "$name: fails at first");
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	while (time < $deadline)
	{
		($ret, $out, $err) = $node->psql('app', $sql, @params);
		last if $ret == 0;
		Time::HiRes::usleep(20_000);
	}
	is($ret, 0, "$name: the retry succeeds") or diag($err);
	return;
}

# Asks for a key and waits until the worker has answered; returns the number of partitions made.
sub answer_to
{
	my ($sql) = @_;
	my $last = $node->safe_psql('app', 'SELECT coalesce(max(run_id), 0) FROM dbperf.job_runs');
	my $answered = "run_id > $last AND reason = 'missing_partition' AND status <> 'running'";

	$node->psql('app', $sql);
	$node->poll_query_until('app', "SELECT EXISTS (SELECT FROM dbperf.job_runs WHERE $answered)")
	  or die 'no answer of the worker';
	return $node->safe_psql('app',
		"SELECT sum(partitions_created) FROM dbperf.job_runs WHERE $answered");
}

# --- a single INSERT, several rows, COPY, UPDATE, EXECUTE in a function
managed_table($node, 'app', 'ticks', "'1 month', premake => 1, sanity_window => '2 years'");
ok(wake_and_wait($node, 'app'), 'the worker has seen the table');
my $runs = $node->safe_psql('app', 'SELECT max(run_id) FROM dbperf.job_runs');
fails_then_succeeds("INSERT INTO ticks VALUES (now() + interval '5 months', 1)", 'INSERT');
is($node->safe_psql('app', qq{
		SELECT source, parent, status, partitions_created FROM dbperf.job_runs
		WHERE run_id > $runs AND reason = 'missing_partition' ORDER BY run_id LIMIT 1}),
	'worker|public.ticks|ok|1', 'the run is recorded, with its reason');
fails_then_succeeds(
	"INSERT INTO ticks VALUES (now(), 1), (now() - interval '3 months', 2), (now(), 3)",
	'INSERT of several rows into the past');
my $at = $node->safe_psql('app', "SELECT now() + interval '8 months'");
fails_then_succeeds("COPY ticks FROM STDIN;\n$at\t1\n\\.\n", 'COPY');
fails_then_succeeds("UPDATE ticks SET at = at + interval '10 months' WHERE v = 3", 'UPDATE');
fails_then_succeeds(
	"DO \$\$ BEGIN INSERT INTO ticks VALUES (now() + interval '12 months', 1); END \$\$",
	'INSERT in a function');
is($node->safe_psql('app', 'SELECT count(*) FROM ONLY ticks'), 0, 'all rows are in partitions');

# --- the session's notation of dates and its time zone do not matter
fails_then_succeeds(
	"SET DateStyle = 'German'; SET TimeZone = 'Asia/Kolkata';"
	  . " INSERT INTO ticks VALUES (now() - interval '6 months', 1)",
	'German dates, Indian time');
fails_then_succeeds(
	"SET DateStyle = 'SQL, DMY'; SET TimeZone = 'America/New_York';"
	  . " INSERT INTO ticks VALUES (now() - interval '8 months', 1)",
	'SQL dates with a time zone');
fails_then_succeeds(
	"SET DateStyle = 'Postgres, MDY'; SET TimeZone = '<+0545>-05:45';"
	  . " INSERT INTO ticks VALUES (now() - interval '10 months', 1)",
	'Postgres dates, a time zone of its own making');
# --- other types of keys, and a name that looks like a part of the message
$node->safe_psql('app', q{
	CREATE TABLE "T ""x"" (y)" (") = (" date NOT NULL) PARTITION BY RANGE (") = (");
	SELECT dbperf.manage('"T ""x"" (y)"', '1 day', premake => 1, sanity_window => '30 days');
	CREATE TABLE ids (id bigint NOT NULL) PARTITION BY RANGE (id);
	SELECT dbperf.manage('ids', 1000, premake => 1, sanity_window => '100000');
	CREATE TABLE epochs (ms bigint NOT NULL) PARTITION BY RANGE (ms);
	SELECT dbperf.manage('epochs', '1 day', premake => 1, epoch_unit => 'milliseconds',
		sanity_window => '30 days')});
fails_then_succeeds(
	q{SET DateStyle = 'SQL, DMY'; INSERT INTO "T ""x"" (y)" VALUES (current_date + 9)},
	'date key, hostile names');
fails_then_succeeds('INSERT INTO ids VALUES (54321)', 'bigint key');
fails_then_succeeds(
	q{INSERT INTO epochs VALUES ((extract(epoch FROM now() + interval '9 days') * 1000)::bigint)},
	'epoch milliseconds');

# --- who may insert but not read is told no key: the worker then makes what is due
$node->safe_psql('app', q{
	CREATE ROLE writer LOGIN;
	GRANT INSERT ON ticks TO writer;
	DO $$
	BEGIN
		EXECUTE format('DROP TABLE %s',
			(SELECT partition FROM dbperf.partitions
			WHERE parent = 'ticks'::regclass AND state = 'current'));
	END $$});
fails_then_succeeds('INSERT INTO ticks VALUES (now(), 1)', 'INSERT without the right to read',
	extra_params => [ '-U', 'writer' ]);

# --- senseless keys
my $before = partition_count($node, 'app', 'ticks');
is(answer_to("INSERT INTO ticks VALUES ('9999-12-31', 1)"), 0, 'a far future row makes none');
is(answer_to("INSERT INTO ticks VALUES ('0044-03-15 BC', 1)"), 0, 'nor does a far past one');
is(answer_to("INSERT INTO ticks VALUES ('-infinity', 1)"), 0, 'nor -infinity');
is(answer_to("INSERT INTO ticks VALUES ('infinity', 1)"), 0, 'nor infinity');
is(partition_count($node, 'app', 'ticks'), $before, 'the table is as before');
query_is($node, 'app',
	"SELECT last_error IS NULL FROM dbperf.partition_health WHERE parent = 'ticks'::regclass",
	't', 'and that is no error of maintenance');

# --- a flood of them costs little
my $last = $node->safe_psql('app', 'SELECT max(run_id) FROM dbperf.job_runs');
my $bad_row = "INSERT INTO ticks VALUES (timestamptz '9000-01-01' + interval '%s days', 1);\n";
$node->psql('app', join('', map { sprintf($bad_row, $_) } 1 .. 500), on_error_stop => 0);
fails_then_succeeds("INSERT INTO ticks VALUES (now() + interval '14 months', 1)",
	'a good row after a flood of bad ones');
cmp_ok($node->safe_psql('app', "SELECT count(*) FROM dbperf.job_runs WHERE run_id > $last"),
	'<', 40, 'few runs for many bad rows');

# --- a table that nobody manages, a disabled policy, a database without the extension
$last = $node->safe_psql('app', 'SELECT max(run_id) FROM dbperf.job_runs');
make_table($node, 'app', 'stranger');
$node->psql('app', 'INSERT INTO stranger VALUES (now())');
$node->safe_psql('postgres', 'CREATE TABLE stranger (at timestamptz) PARTITION BY RANGE (at)');
$node->psql('postgres', 'INSERT INTO stranger VALUES (now())');
poll_ok($node, 'app',
	'SELECT pending_requests = 0 AND active_worker_pid IS NULL FROM dbperf.worker_status',
	'rows for tables of others are dealt with');
is($node->safe_psql('app', "SELECT count(*) FROM dbperf.job_runs WHERE run_id > $last"), 0,
	'without a run');
is(partition_count($node, 'app', 'stranger'), 0, 'and without a partition');

# --- the language of the server does not matter (C.UTF-8 leaves it to LANGUAGE)
{
	local $ENV{LANGUAGE} = 'de';
	$node->append_conf('postgresql.conf', "lc_messages = 'C.UTF-8'");
	$node->restart;
}
my ($ret, $out, $err) = $node->psql('app', 'SELECT no_such_column');
SKIP:
{
	skip 'this server speaks no German', 2 if $err !~ /existiert nicht/;
	fails_then_succeeds("INSERT INTO ticks VALUES (now() + interval '16 months', 1)", 'in German');
}

# --- the worker has not failed over any of this
is(worker_status($node, 'app', 'state, last_error IS NULL'), 'running|t', 'the worker is well');
is(count_in_log($node, qr/maintenance of (table|database)/), 0, 'and had nothing to say');

$node->stop;
done_testing();
