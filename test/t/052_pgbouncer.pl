# pgbouncer_pools() and pgbouncer_stats() with Debian's PgBouncer and with one that misbehaves, and
# the configurations of pool_config() in the programs that they are for.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfSessions qw(hold release);
use DbperfTest;
use IO::Socket::UNIX;
use IPC::Run ();
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $pgbouncer = '/usr/sbin/pgbouncer';
plan skip_all => "$pgbouncer is not installed" unless -x $pgbouncer;

my $python = '/usr/bin/python3';

my $node = new_node('bounced', 'max_connections = 40', "dbperf.enabled = off",
	"dbperf.sample_interval = 0");
my $directory = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();

# Both end with the test, however that ends.
my ($bouncer, $pid);

END
{
	local $?;
	$bouncer->kill_kill if defined $bouncer;
	kill 'KILL', $pid if $pid;
}

# An odd name, which every format has to quote
my $database = q{od"d d'b};
$node->safe_psql('postgres',
	q{CREATE DATABASE "od""d d'b" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
	  CREATE ROLE clerk; CREATE ROLE watcher IN ROLE pg_monitor});
install_extension($node, $database);

sub set_conninfo
{
	my ($conninfo) = @_;

	$node->safe_psql($database,
		"ALTER SYSTEM SET dbperf.pgbouncer_conninfo = \$\$$conninfo\$\$");
	$node->reload;
	$node->poll_query_until($database,
		"SELECT current_setting('dbperf.pgbouncer_conninfo') = \$\$$conninfo\$\$")
	  or die 'the setting did not arrive';
	return;
}

# The error that a statement ends in, with its SQLSTATE
sub error_is
{
	my ($query, $state, $regexp, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($status, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$query");

	like($err, qr/ERROR:  $state: .*$regexp/s, $name);
	return $err;
}

my $pools = 'SELECT * FROM dbperf.pgbouncer_pools()';

error_is($pools, '55000', 'HINT:  Set it to', 'without a setting, there is none');
set_conninfo("host=$directory port=$port user=stats");
error_is($pools, '08001', 'DETAIL:  .*No such file.*HINT:  dbperf.pgbouncer_conninfo',
	'nobody listens there');

# --- the real one, with the configuration of pool_config()
$node->safe_psql($database, 'UPDATE dbperf.pools SET base_size = 2, max_overflow = 1');
append_to_file("$directory/users.txt", qq{"postgres" ""\n"stats" ""\n"clerk" ""\n});
my $config = $node->safe_psql($database, "SELECT dbperf.pool_config('pgbouncer')");
# what is not for this machine
$config =~ s/^listen_addr = 127.0.0.1$/listen_addr =/m or die;
$config =~ s/^listen_port = 6432$/listen_port = $port/m or die;
$config =~ s/^auth_type = scram-sha-256$/auth_type = trust/m or die;
$config =~ s/^(auth_file) = .*$/$1 = $directory\/users.txt/m or die;
append_to_file("$directory/pgbouncer.ini",
	"$config\nunix_socket_dir = $directory\nlogfile = $directory/pgbouncer.log\nstats_period = 1\n");

$bouncer = IPC::Run::start([ $pgbouncer, '-q', "$directory/pgbouncer.ini" ],
	'<', \undef, '>', "$directory/stdout", '2>&1');
poll_ok($node, $database, 'SELECT count(*) > 0 FROM dbperf.pgbouncer_pools()',
	'PgBouncer starts with what pool_config() prints')
  or diag slurp_file("$directory/stdout");
is(join('', grep { /ERROR|FATAL|WARNING/ } split /^/m, slurp_file("$directory/pgbouncer.log")), '',
	'and knows all of it');

# Five clients at a pool of two and a reserve of one; none gets an answer before the gate opens.
my $gate = hold($node, $database, 'SELECT pg_advisory_xact_lock(1)');
my @clients = map { my $n = $_; my $answer = '';
	{ answer => \$answer, run => IPC::Run::start([ 'psql', '-XAtq',
			'-d', "host=$directory port=$port user=postgres dbname='od\"d d\\'b'",
			'-c', "SELECT pg_advisory_xact_lock_shared(1), $n" ],
			'<', \undef, '>', \$answer, '2>&1') } } 1 .. 5;
my $ours = "FROM dbperf.pgbouncer_pools() WHERE database = current_database()";
poll_ok($node, $database,
	"SELECT cl_active = 3 AND cl_waiting = 2 AND sv_active = 3 AND maxwait > 0 $ours",
	'two of five clients wait');
query_is($node, $database, qq{SELECT "user", sv_idle, sv_used, sv_tested, sv_login, pool_mode $ours},
	'postgres|0|0|0|0|transaction', 'and so it is shown');
query_is($node, $database, "SELECT maxwait <> trunc(maxwait) AND maxwait BETWEEN 0 AND 600 $ours",
	't', 'the longest wait has its microseconds');
query_is($node, $database, q{
	SELECT metric, label, value > 0, value = 2, value = 3, life IS NULL FROM dbperf.measure_pgbouncer() ORDER BY metric},
	join("\n", map { qq{$_->[0]|od"d d'b/postgres|t|$_->[1]|t} }
		  [ 'pgbouncer_clients_active', 'f|t' ], [ 'pgbouncer_clients_waiting', 't|f' ],
		[ 'pgbouncer_wait_seconds', 'f|f' ]),
	'a sample has them, without the console');
release($gate);
$_->{run}->finish for @clients;
is(join(' ', sort map { ${ $_->{answer} } } @clients), "|1\n |2\n |3\n |4\n |5\n",
	'they get their answers');
poll_ok($node, $database, q{
	SELECT total_xact_count = 5 AND total_query_count = 5 AND total_received > 0 AND total_sent > 0
		AND total_xact_time > 0 AND total_query_time > 0 AND total_wait_time > 0
		AND num_nulls(avg_xact_count, avg_query_count, avg_recv, avg_sent, avg_xact_time,
			avg_query_time, avg_wait_time) = 0
	FROM dbperf.pgbouncer_stats() WHERE database = current_database()},
	'the statistics have counted them');
query_is($node, $database, q{
	SET ROLE watcher;
	SELECT count(*) FROM dbperf.pgbouncer_stats() WHERE database = current_database()},
	'1', 'for members of pg_monitor, too');
error_is("SET ROLE clerk; $pools", '42501', 'permission denied', 'not for others');
query_is($node, 'postgres',
	"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tradeassist_dbperf'",
	'0', 'PgBouncer has not passed us on');
poll_ok($node, $database, q{SELECT cl_active = 1 FROM dbperf.pgbouncer_pools() WHERE database = 'pgbouncer'},
	'no connection to the console is left open');

# --- what it refuses
set_conninfo("host=$directory port=$port user=clerk");
error_is($pools, '08001', 'DETAIL:  .*not allowed', 'a user who may not look');
set_conninfo('host=' . $node->host . ' port=' . $node->port . ' dbname=postgres');
error_is($pools, '08000', 'unrecognized configuration parameter "pools"', 'no PgBouncer at all');
$bouncer->kill_kill;
$bouncer = undef;
set_conninfo("host=$directory port=$port user=stats");
query_is($node, $database, q{
	SELECT count(*) > 20, count(*) FILTER (WHERE metric ~ 'pgbouncer') FROM dbperf.collect_health_metrics();
	SELECT error FROM dbperf.sampler_state},
	"t|0\npgbouncer: could not connect to PgBouncer", 'without it, a sample has the rest, and says so');

# --- what it is not to be set to: members of pg_monitor and readers of the log would see it
for my $secret ('host=somewhere password=s3cret', 'postgres://stats:s3cret@somewhere/pgbouncer',
	'sslpassword=s3cret')
{
	unlike(error_is("ALTER SYSTEM SET dbperf.pgbouncer_conninfo = '$secret'", '22023',
			'must not have a password in it', 'no password'), qr/ERROR.*s3cret/, 'nor is it repeated');
}
error_is("ALTER SYSTEM SET dbperf.pgbouncer_conninfo = 'host=somewhere s3cret'", '22023',
	'is not a connection string', 'not a connection string');
my $offset = -s $node->logfile;
append_to_file($node->data_dir . '/postgresql.auto.conf',
	"dbperf.pgbouncer_conninfo = 'password=hidden'\n");
$node->reload;
ok($node->wait_for_log(qr/must not have a password in it/, $offset), 'not in a file either');
unlike(slurp_file($node->logfile, $offset), qr/hidden/, 'and the log does not show it');
query_is($node, 'postgres', q{
	SELECT count(*) FROM pg_settings s WHERE s::text ~ 's3cret|hidden'}, '0', 'nor do the settings');

# --- one that misbehaves: each connection gets the next of these answers
sub message { my ($type, $body) = @_; return $type . pack('N', 4 + length $body) . $body; }
my $ready = message('Z', 'I');
my $welcome = message('R', pack('N', 0)) . $ready;

sub table
{
	my ($columns, @rows) = @_;
	my $answer = message('T', pack('n', scalar @$columns)
		  . join('', map { pack('Z*NnNnNn', $_, 0, 0, 25, 65535, 4294967295, 0) } @$columns));

	for my $row (@rows)
	{
		$answer .= message('D', pack('n', scalar @$row)
			  . join('', map { defined $_ ? pack('N/a*', $_) : pack('N', 4294967295) } @$row));
	}
	return $answer . message('C', "SHOW\0") . $ready;
}

my @answers = (
	[ $welcome, table([qw(pool_mode news maxwait_us cl_active maxwait database user sv_idle)],
			[ 'session', 'x', '250000', '12', '3', 'market', "b\xffd", 'many' ],
			[ undef, undef, undef, '99999999999', undef, undef, undef, '-1' ]) ],
	[ $welcome, table([qw(cl_active)], ['1']) ],
	[ $welcome, table([qw(database)]) ],
	[ $welcome, message('E', "SERROR\0C42501\0Mno, thanks\0\0") . $ready ],
	[ $welcome, message('C', "SET\0") . $ready ],
	[ $welcome, message('I', '') . $ready ],
	[ $welcome, message('H', pack('Cn', 0, 0)) . message('d', "row\n") x 3 ],
	[ $welcome, message('T', pack('n', 3) . 'cut off') . $ready ],
	[ $welcome, 'no message of that kind' ],
	[ $welcome, undef ],
	[undef],
	['HTTP/1.1 400 Bad Request'],
	[ $welcome, table(['database'], (['x']) x 10001) ],
	[ $welcome, '' ],
	[''],
	[''],
);
my $listener = IO::Socket::UNIX->new(Local => "$directory/.s.PGSQL.1", Listen => 5)
  or die "cannot listen: $!";
$pid = fork() // die "cannot fork: $!";
if ($pid == 0)
{
	local $SIG{PIPE} = 'IGNORE';
	# '' is silence until the other end has gone, undef is to hang up
	for my $answer (@answers)
	{
		my $client = $listener->accept;

		for my $bytes (@$answer)
		{
			my $read = $client->sysread(my $question, 8192);
			last if !$read || !defined $bytes;
			$client->syswrite($bytes);
		}
		1 while defined $answer->[-1] && $client->sysread(my $rest, 8192);
	}
	POSIX::_exit(0);
}
close $listener;

set_conninfo("host=$directory port=1 user=stats");
query_is($node, $database, $pools, "market|b?d|12|||||||3.25|session\n||99999999999|||-1|||||",
	'columns are found by their names; NULL is what is not there, or no number');
error_is($pools, '08000', 'SHOW POOLS has no column "database"', 'without a database, it is none');
query_is($node, $database, $pools, '', 'no pools are no error');
error_is($pools, '08000', 'no, thanks', 'an error of its own');
error_is($pools, '08000', 'read the answer', 'an answer without rows');
error_is($pools, '08000', 'read the answer', 'an empty answer');
error_is($pools, '08000', 'read the answer', 'COPY instead of rows');
error_is($pools, '08000', 'read the answer', 'a broken message');
error_is($pools, '08000', 'read the answer', 'something else');
error_is($pools, '08006', 'closed the connection', 'it hangs up when asked');
error_is($pools, '08001', 'closed the connection', 'it hangs up at once');
error_is($pools, '08001', '', 'another protocol');
error_is($pools, '08000', 'more than 10000 rows', 'more than anybody has');
error_is($pools, '08006', 'did not answer within two seconds', 'it does not answer');
error_is($pools, '08001', 'did not answer within two seconds', 'it does not even greet');
error_is("SET statement_timeout = 100; $pools", '57014', 'statement timeout',
	'waiting can be canceled');
waitpid($pid, 0);
$pid = undef;
error_is(qq{
	DO \$\$
	BEGIN
		FOR i IN 1..1100 LOOP
			BEGIN
				PERFORM FROM dbperf.pgbouncer_pools();
			EXCEPTION WHEN sqlclient_unable_to_establish_sqlconnection THEN
			END;
		END LOOP;
	END \$\$;
	$pools}, '08001', 'Connection refused', 'errors leave no files open');

# --- the other formats of pool_config()
sub run_python
{
	my ($module, $format, $code) = @_;

	SKIP:
	{
		skip "$module for $python is not installed", 2
		  if IPC::Run::run([ $python, '-c', "import $module" ], '2>', \my $ignored) == 0;
		my $program = $node->safe_psql($database, "SELECT dbperf.pool_config('$format')");
		my ($answer, $complaint) = ('', '');

		IPC::Run::run([ $python, '-W', 'error', '-c', "$program\n$code" ], '>', \$answer, '2>', \$complaint,
			IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
		is($?, 0, "$format: runs") or diag $complaint;
		is($answer, "desk \"1\" $database\n3 True\n",
			"$format: is a pool of that size, which gets over lost connections");
	}
	return;
}

$node->safe_psql($database, q{UPDATE dbperf.pools SET application_name = 'desk "1"'});
my $state = q{SELECT current_setting('application_name') || ' ' || current_database()};
my $end = q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
	WHERE application_name = 'desk "1"' AND pid <> pg_backend_pid()};
run_python('sqlalchemy, psycopg2', 'sqlalchemy', qq{
import sqlalchemy
with engine.connect() as first:
    print(first.scalar(sqlalchemy.text("""$state""")))
    engine.connect().close()
    first.execute(sqlalchemy.text("""$end"""))
    held = [engine.connect() for i in range(2)]
    engine.pool._timeout = 0.01
    try:
        engine.connect()
        print("too many")
    except sqlalchemy.exc.TimeoutError:
        print(1 + len(held), all(c.scalar(sqlalchemy.text("SELECT true")) for c in held))
    for c in held: c.close()
engine.dispose()
});
run_python('asyncpg', 'asyncpg', qq{
async def main():
    pool = await make_pool()
    async with connection(pool) as first:
        print(await first.fetchval("""$state"""))
        await first.execute("""$end""")
        async with connection(pool) as second, connection(pool) as third:
            print(pool.get_max_size(), await second.fetchval("SELECT true") and await third.fetchval("SELECT true"))
    task = asyncio.create_task(recycle(pool))
    await asyncio.sleep(0)
    task.cancel()
    await pool.close()
asyncio.run(main())
});
my $conninfo = $node->safe_psql($database, "SELECT dbperf.pool_config('libpq')");
is(run_psql($conninfo), "desk \"1\" $database\n", 'libpq: connects');

sub run_psql
{
	my ($target) = @_;
	IPC::Run::run([ 'psql', '-XAtq', '-d', $target, '-c', $state ], '>', \my $answer, '2>&1');
	return $answer;
}

# --- a server that is configured as recommended starts, and nothing else is recommended to it
my $advice = q{SELECT setting, recommended FROM dbperf.validate_configuration() WHERE NOT ok};
isnt($node->safe_psql($database, $advice), '', 'something is recommended');
$node->safe_psql($database, $_)
  for split /;\n/, $node->safe_psql($database, q{
	SELECT format('ALTER SYSTEM SET %s = %L;', setting, recommended)
	FROM dbperf.validate_configuration() WHERE setting <> 'shared_preload_libraries'});
$node->restart;
query_is($node, $database, $advice, '', 'then it is content');

# --- not preloaded: nothing of this needs shared memory
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'auto_explain'");
set_conninfo("host=$directory port=$port user=stats");
$node->restart;
error_is($pools, '08001', 'DETAIL', 'it is tried without the library preloaded');
query_is($node, $database,
	q{SELECT severity, ok, recommended FROM dbperf.validate_configuration() WHERE setting = 'shared_preload_libraries'},
	'warning|f|auto_explain, tradeassist_dbperf', 'and validate_configuration() says that it is not');

$node->stop;
done_testing();
